"""History of a flow's outcomes: the counts by which the guard judges the service.

Kept by :class:`batcher.flowcontrol.outage.Guard`, one for each flow. It decides nothing and reads no clock.
A *subject* is the submission, task or question that a request was about; any hashable value names it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from batcher.flowcontrol.findings import Finding
from batcher.flowcontrol.outage_policy import RECENT_CALLS
from batcher.model.outcome import Obstacle


class OutcomeHistory:
    """Counts of outcomes: in a row, of recent calls, and by subject.

    Args:
        now: monotonic seconds; counts as the time of the last usable answer.
    """

    def __init__(self, now: float) -> None:
        self.answers = 0
        """Requests that were answered about their subject, and answered probes."""
        self.answered_at = now
        """When the last usable answer arrived."""
        self.no_answers = 0
        """Missing answers in a row that may be due to the service."""
        self.unreadable = 0
        """Unreadable answers in a row."""
        self.doubts = 0
        """Codes 7 in a row."""
        self.refusals: deque[bool] = deque(maxlen=RECENT_CALLS)
        """For each recent call, whether it was refused as too frequent."""
        self._refused_at: dict[Hashable, int] = {}
        """The number of answers at the last refusal of a subject."""
        self._usable = 0
        """Usable answers, without those to probes."""
        self._missing_at: dict[Hashable, int] = {}
        """The number of usable answers when a subject last got none."""
        self._suspects: set[Hashable] = set()
        """Subjects that twice got no usable answer while others did: no evidence of an outage."""
        self._forbidden: set[Hashable] = set()
        self._obstacle: tuple[Obstacle | None, float] = None, now
        """The obstacle that the last outcomes showed, and since when."""
        self._denied: dict[tuple[int, Hashable], str] = {}
        """Names of the subjects that got code 3 or 5, by code and subject."""

    def add_usable(self, finding: Finding, about: Hashable, now: float) -> None:
        """Count a usable answer: it ends rows of other findings."""
        self.no_answers = self.unreadable = 0
        self.answered_at = now
        self._obstacle = None, now
        if finding is not Finding.FORBIDDEN:
            self._forbidden.clear()
        if finding is not Finding.CREDENTIALS:
            self.doubts = 0
        self._usable += 1
        self._missing_at.pop(about, None)
        self._suspects.discard(about)
        if finding in (Finding.SUCCEEDED, Finding.ANSWERED):
            self.answers += 1
            self._refused_at.pop(about, None)
        if finding is not Finding.THROTTLED:
            self.refusals.append(False)

    def add_probe_answer(self) -> None:
        """Count an answered probe."""
        self.answers += 1
        self._forbidden.clear()
        self.unreadable = 0

    def refused_alone(self, about: Hashable) -> bool:
        """Whether others were answered since this subject was last refused, or before its first refusal."""
        return self.answers > self._refused_at.get(about, 0)

    def add_refusal(self, about: Hashable) -> tuple[bool, bool]:
        """Note a refusal; return whether it is the subject's first one, and whether it was refused alone."""
        first, alone = about not in self._refused_at, self.refused_alone(about)
        self._refused_at[about] = self.answers
        return first, alone

    def add_missing(self, about: Hashable) -> bool:
        """Note a missing answer; return whether the subject is its likely cause, not the service."""
        before, self._missing_at[about] = self._missing_at.get(about), self._usable
        if before is not None and self._usable > before:
            self._suspects.add(about)
        return about in self._suspects

    def met(self, obstacle: Obstacle | None, now: float) -> tuple[bool, float]:
        """Note the obstacle that an outcome shows; return whether it is new, and how long it lasts."""
        if is_new := obstacle is not self._obstacle[0]:
            self._obstacle = obstacle, now
        return is_new, now - self._obstacle[1]

    def add_forbidden(self, about: Hashable) -> int:
        """Note HTTP 401, 403, 407 or 451; return how many subjects got one in a row."""
        self._forbidden.add(about)
        return len(self._forbidden)

    def add_denied(self, code: int, about: Hashable, name: str) -> list[str]:
        """Note code 3 or 5; return the names of all subjects that got the same code."""
        self._denied[code, about] = name
        return [denied for (denied_code, _), denied in self._denied.items() if denied_code == code]
