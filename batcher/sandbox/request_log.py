"""The request log: what the sandbox received and did, request by request.

`service` adds an entry for each request before any byte of the answer leaves; `listener` marks it once the
answer is written. It never holds a secret or a signature.

In the log file a request is one JSON line, flushed when it is judged and before its answer leaves. So a
reader of the file never misses an accepted task, even if a process is killed. The line is written before
the answer and therefore has no `answered`; memory and the control page have it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from .validation import ACTIONS


@dataclass(slots=True)
class Entry:
    """One request. Everything is settled when the entry is created, except `answered`."""

    number: int
    """The number of the request, from 1 in the order of arrival."""
    arrived_s: float
    """Monotonic seconds; after the simulated jitter, when the rate limit counted it."""
    arrived_at: datetime
    action: str
    vendor: str
    file_id: str
    type: str
    definition: str | None
    interval: str | None
    offsets: tuple[str, ...]
    app_id: str
    nonce: str
    target: str
    """Path and query as received, with the value of `Signature` hidden."""
    code: int | None
    """The `Code` that a client can read in the answer, if any."""
    status: int | None
    """The HTTP status of the answer; None without an answer."""
    fault: str | None
    """The simulated fault: a fault's text, or `outage`."""
    accepted: bool
    task_id: str | None
    throttled: bool
    answered: bool = False
    """Whether the answer was written completely."""
    asked_task_id: str | None = None
    """The TaskId of a DescribeMediaTask query."""
    listed: int | None = None
    """The number of recordings in the answer of a SearchMedia, even if the answer is lost."""

    def fields(self) -> dict[str, object]:
        """Return the entry as JSON values."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        values["arrived_at"] = self.arrived_at.isoformat()
        values["offsets"] = list(self.offsets)
        return values


class _Peak:
    """The most arrivals within any sliding second."""

    def __init__(self) -> None:
        self.most = 0
        self._recent: deque[float] = deque()

    def add(self, arrived_s: float) -> None:
        recent = self._recent
        recent.append(arrived_s)
        while recent[0] <= arrived_s - 1.0:
            recent.popleft()
        self.most = max(self.most, len(recent))


class RequestLog:
    """All entries of one sandbox, with the counts that tests check.

    The counts are updated with each entry, so that reading them is cheap during a long rehearsal.
    """

    def __init__(self, keep_entries: int | None = None) -> None:
        self.entries: list[Entry] = []
        self.count = 0
        self.codes: Counter[int | None] = Counter()
        self.faults: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.accepted_count = 0
        self.throttled_count = 0
        self._keep_entries = keep_entries
        self._peaks = {name: _Peak() for name in ("", *ACTIONS)}
        self._accepted_span_s: tuple[float, float] | None = None
        self._file: TextIO | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def open(self, path: Path) -> None:
        """Append the entries from now on to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # A request line may hold bytes that are not UTF-8; escaped like this they are valid JSON.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def close(self) -> None:
        """Close the file, if there is one; the entries in memory stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, entry: Entry) -> None:
        """Record a request that has been judged. Call it before any of the answer leaves."""
        self.entries.append(entry)
        self._count(entry)
        if self._keep_entries and len(self.entries) > 2 * self._keep_entries:
            del self.entries[: -self._keep_entries]
        if self._file is not None:
            line = entry.fields()
            del line["answered"]
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        self.wake()

    def mark_answered(self, entry: Entry) -> None:
        """Note that the answer to a request was written completely."""
        entry.answered = True
        self.wake()

    async def wait_for(self, holds: Callable[[], bool], deadline_s: float) -> None:
        """Wait until `holds` returns True; it is called again whenever an entry is added or answered.

        Raises:
            TimeoutError: it did not within `deadline_s` seconds.
        """
        try:
            async with asyncio.timeout(deadline_s):
                while not holds():
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            summary = f"{self.count} requests, {self.accepted_count} accepted"
            raise TimeoutError(
                f"the sandbox waited {deadline_s} s without success; it has received {summary}"
            ) from None

    def accepted(self) -> dict[str, Entry]:
        """Return the entry of each task, by task id."""
        return {entry.task_id: entry for entry in self.entries if entry.task_id is not None}

    def requests_for(self, file_id: str) -> list[Entry]:
        """Return the requests for one file, in the order of their arrival."""
        return [entry for entry in self.entries if entry.file_id == file_id]

    def after(self, number: int) -> list[Entry]:
        """Return the entries after entry `number` that are still kept."""
        skipped = self.count - len(self.entries)
        return self.entries[max(0, number - skipped) :]

    def requests_of(self, action: str) -> list[Entry]:
        """Return the requests of one Action, in the order of their arrival."""
        return [entry for entry in self.entries if entry.action == action]

    def max_in_any_second(self, action: str = "") -> int:
        """Return the most arrivals within any sliding second, accepted or not.

        Args:
            action: count requests of this Action only; empty for all requests.
        """
        return self._peaks[action].most

    def accepted_per_s(self) -> float:
        """Return the mean rate of acceptance between the first and the last; 0 with fewer than two."""
        if self._accepted_span_s is None:
            return 0.0
        first_s, last_s = self._accepted_span_s
        return (self.accepted_count - 1) / (last_s - first_s) if last_s > first_s else 0.0

    def throttled_share(self) -> float:
        """Return the share of all requests that the rate limit refused."""
        return self.throttled_count / self.count if self.count else 0.0

    def summary(self) -> dict[str, object]:
        """Return the counts as JSON values."""
        return {
            "requests": self.count,
            "accepted": self.accepted_count,
            "accepted_per_s": round(self.accepted_per_s(), 3),
            "throttled": self.throttled_count,
            "throttled_share": round(self.throttled_share(), 4),
            "max_in_any_second": self.max_in_any_second(),
            "by_action": dict(self.actions),
            "by_code": {str(code): count for code, count in self.codes.items() if code is not None},
            "without_code": self.codes[None],
            "by_fault": dict(self.faults),
        }

    def _count(self, entry: Entry) -> None:
        self.count += 1
        self.codes[entry.code] += 1
        self.throttled_count += entry.throttled
        if entry.fault is not None:
            self.faults[entry.fault] += 1
        if entry.accepted:
            self.accepted_count += 1
            first_s = self._accepted_span_s[0] if self._accepted_span_s else entry.arrived_s
            self._accepted_span_s = (first_s, entry.arrived_s)
        self._peaks[""].add(entry.arrived_s)
        known = entry.action in ACTIONS  # a client may send any; only existing ones are counted by name
        self.actions[entry.action if known else ""] += 1
        if known:
            self._peaks[entry.action].add(entry.arrived_s)

    def wake(self) -> None:
        """Wake waiters to check again, because something else has happened."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
