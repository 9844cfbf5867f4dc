"""Settings of a run, for the command line and for programs alike.

They validate themselves: an object that exists can be used. Messages name parameters, since a program has no
flags; the command line has checked its options before it makes these objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

from batcher.errors import SettingsError
from batcher.model.submission import InDoubtPolicy

MAX_RATE_PER_S = 1_000_000
MAX_CONCURRENCY = 10_000


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """The failures that halt a run: a number in this run, or a share of the last 200 that ended.

    Without either, failures halt nothing.

    Raises:
        SettingsError: a value is out of range, or both are given.
    """

    number: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.number is not None and self.share is not None:
            problems.append("number and share: give one of them")
        if self.number is not None and self.number < 1:
            problems.append(f"number {self.number}: give 1 or more")
        if self.share is not None and not 0 < self.share <= 1:
            problems.append(f"share {self.share}: give more than 0 and at most 1")
        if problems:
            raise SettingsError(*problems)

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """Read ``N``, ``P%`` or ``off``, as the settings have checked it."""
        if text == "off":
            return cls()
        if text.endswith("%"):
            return cls(share=int(text[:-1]) / 100)
        return cls(number=int(text))


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings by which a run sends and ends.

    Raises:
        SettingsError: values are out of range; all of them are named.
    """

    rate_per_s: float = 20.0
    concurrency: int = 64
    in_doubt: InDoubtPolicy = InDoubtPolicy.RETRY
    limit: int | None = None
    """The number of submissions that the run may start; None for all."""
    lasts_s: float | None = None
    """Seconds that the run may send before it drains; None for no limit."""
    until: datetime | None = None
    """Wall time at which the run drains."""
    max_failures: MaxFailures = field(default_factory=lambda: MaxFailures(share=0.5))
    grace_s: float = 30.0
    """Seconds that requests in flight may take to finish while the run drains."""

    def __post_init__(self) -> None:
        until = self.until
        checks = {
            "rate_per_s": (
                0 < self.rate_per_s <= MAX_RATE_PER_S,
                f"more than 0 and at most {MAX_RATE_PER_S:,}",
            ),
            "concurrency": (1 <= self.concurrency <= MAX_CONCURRENCY, f"1 to {MAX_CONCURRENCY:,}"),
            "limit": (self.limit is None or self.limit >= 1, "1 or more"),
            "lasts_s": (self.lasts_s is None or 0 < self.lasts_s < math.inf, "a number of seconds"),
            "grace_s": (0 <= self.grace_s < math.inf, "a number of seconds"),
            "until": (until is None or until.tzinfo is not None, "a time with its zone"),
        }
        if problems := [
            f"{name} {getattr(self, name)}: give {expected}"
            for name, (is_right, expected) in checks.items()
            if not is_right
        ]:
            raise SettingsError(*problems)
