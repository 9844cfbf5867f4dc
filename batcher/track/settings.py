"""Settings of a tracker, and how it ended.

Made by the ``track`` command and by ``run --track``; a program may make them too, so the settings check
themselves, with the same bounds as the options of the command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batcher.errors import SettingsError
from batcher.exit_codes import ExitCode
from batcher.model.outcome import Outage
from batcher.track.poll_policy import GIVE_UP_S

MAX_POLLS_PER_S = 1_000_000
MAX_POLLERS = 10_000


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """The settings by which tasks are polled.

    Raises:
        SettingsError: with everything that is wrong.
    """

    rate_per_s: float = 20.0
    concurrency: int = 64
    give_up_s: float = GIVE_UP_S
    lasts_s: float | None = None
    """The time limit, from the moment at which nothing more is submitted; None for no limit."""
    follow: bool = False
    """Continue when all tasks have ended: another process may submit more."""

    def __post_init__(self) -> None:
        """Refuse values that no tracker can work with."""
        wrong = {
            f"rate_per_s {self.rate_per_s}: give more than 0 and at most {MAX_POLLS_PER_S:,}": (
                not 0 < self.rate_per_s <= MAX_POLLS_PER_S
            ),
            f"concurrency {self.concurrency}: give 1 to {MAX_POLLERS:,}": (
                not 1 <= self.concurrency <= MAX_POLLERS
            ),
            f"give_up_s {self.give_up_s}: give a number of seconds": not 0 < self.give_up_s < math.inf,
            f"lasts_s {self.lasts_s}: give a number of seconds": (
                self.lasts_s is not None and not 0 < self.lasts_s < math.inf
            ),
        }
        if problems := [text for text, is_wrong in wrong.items() if is_wrong]:
            raise SettingsError(*problems)


@dataclass(frozen=True, slots=True)
class Tracked:
    """The end of tracking: the exit code, the reason and the number of polls."""

    exit: ExitCode
    """DONE when all tasks have ended; their states are in the ledger."""
    reason: str
    polls: int
    """Polls that may have left."""
    seconds: float
    outage: Outage | None = None
    """The outage that had not ended when the tracker did."""
