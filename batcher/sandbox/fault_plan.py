"""The plan of faults: chooses the fault, if any, of each arriving request.

`service` asks here; the settings hold the wanted faults. The plan counts the requests of one Action (of
MediaThumbnails those with a FileId) and draws from one seeded source, one draw for each request in every
case, so that the same requests in the same order get the same faults. The harmless probe, MediaThumbnails
without a FileId, is never counted.

Every such request counts as it arrives, even if the gateway or the rate limit then refuses it; a fault of a
later moment is then lost. Requests during an outage do not count.

The first of these that names a fault wins: `choose`, `script`, `by_file`, `shares`.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from .fault_shares import checked_shares, drawn
from .faults import ActionFaults, Fault, RequestSeen


class FaultPlan:
    """Chooses the fault of each request of one Action on arrival."""

    def __init__(self, settings: ActionFaults, rng: Random, action: str = "MediaThumbnails") -> None:
        self._settings = settings
        self._rng = rng
        self._action = action
        self._number = 0
        self._per_file: Counter[str] = Counter()
        # Counting per file costs memory for every id, so only if a setting needs it.
        self._counts_files = settings.choose is not None or bool(settings.by_file)
        self._shares = dict(checked_shares(settings.shares))

    def next(self, file_id: str, vendor: str, type_: str) -> Fault | None:
        """Count one request and return its fault."""
        self._number += 1
        if self._counts_files:
            self._per_file[file_id] += 1
        by_share = drawn(self._rng, self._shares)
        return self._chosen(file_id, vendor, type_) or self._scripted(file_id) or by_share

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
