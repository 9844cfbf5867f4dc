"""The plan of faults: which fault, if any, one arriving request meets.

Where it stands: between the settings, which say what is wanted, and `service`, which carries it out. It
counts the requests of one Action (of MediaThumbnails those with a FileId) and draws at random from one
seeded source, one draw for each of them whatever else happens to it, so that the same requests in the same
order meet the same faults. The harmless probe, MediaThumbnails without a FileId, never comes here.

Every such request counts as it arrives, also one that the gateway or the rate limit then refuses, and with
it any fault of a later moment is lost. What meets an outage does not count.

The first of these that names a fault wins: `choose`, `script`, `by_file`, `shares`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Protocol

from .fault_shares import checked_shares
from .faults import Fault, RequestSeen


class PlannedFaults(Protocol):
    """What is wanted, as the settings of an Action have it."""

    @property
    def shares(self) -> Mapping[str, float]:
        """Share of the requests that meet each fault."""

    @property
    def script(self) -> Mapping[int, Fault]:
        """Fault of the nth request."""

    @property
    def by_file(self) -> Mapping[str, Fault | Sequence[Fault | None]]:
        """Faults of a file's requests."""

    @property
    def choose(self) -> Callable[[RequestSeen], Fault | None] | None:
        """The first word about every request."""


class FaultPlan:
    """Settles the fault of each request of one Action at its arrival."""

    def __init__(self, settings: PlannedFaults, rng: Random, action: str = "MediaThumbnails") -> None:
        self._settings = settings
        self._rng = rng
        self._action = action
        self._number = 0
        self._per_file: Counter[str] = Counter()
        # Counting per file costs memory for every id ever seen, so only when somebody asks for it.
        self._counts_files = settings.choose is not None or bool(settings.by_file)
        pairs = [(fault, share) for fault, share in checked_shares(settings.shares) if share > 0]
        self._faults = [fault for fault, _ in pairs]
        self._bounds = list(accumulate(share for _, share in pairs))

    def next(self, file_id: str, vendor: str, type_: str) -> Fault | None:
        """Count one request and say which fault it meets."""
        self._number += 1
        if self._counts_files:
            self._per_file[file_id] += 1
        drawn = self._drawn()
        return self._chosen(file_id, vendor, type_) or self._scripted(file_id) or drawn

    def _chosen(self, file_id: str, vendor: str, type_: str) -> Fault | None:
        if self._settings.choose is None:
            return None
        seen = RequestSeen(self._number, self._per_file[file_id], file_id, vendor, type_, self._action)
        return self._settings.choose(seen)

    def _scripted(self, file_id: str) -> Fault | None:
        by_number = self._settings.script.get(self._number)
        if by_number is not None:
            return by_number
        by_file = self._settings.by_file.get(file_id)
        if by_file is None or isinstance(by_file, Fault):
            return by_file
        nth = self._per_file[file_id]
        return by_file[nth - 1] if nth <= len(by_file) else None

    def _drawn(self) -> Fault | None:
        if not self._faults:
            return None
        draw = self._rng.random()
        index = bisect_right(self._bounds, draw)
        return self._faults[index] if index < len(self._faults) else None
