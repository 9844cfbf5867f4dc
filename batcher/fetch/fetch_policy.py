"""The decisions of a fetch: ask again or not, after which pause, and what an answer says about a server.
Pure.

Called by :mod:`batcher.fetch.fetcher` after each request and by :mod:`batcher.fetch.picture_pages` for the
share of the day. Nothing here waits, draws at random or reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeGuard

from batcher.fetch.http_source import Download, Failure
from batcher.flowcontrol.findings import OBSTACLE_REMEDIES
from batcher.model.records import Fetched
from batcher.model.task import PictureState

ABSENT_TRIES = 3
"""Requests for a picture that is missing, forbidden or cut off: the service may still be writing it."""
TEMPORARY_TRIES = 5
"""Requests, within one fetch, for a picture that gets no answer or a temporary refusal."""
MAX_TRIES = 25
"""Requests, over all fetches, after which such a picture is given up."""
SILENT_PICTURES = 20
"""This many pictures in a row without a usable answer make their server silent: it gets no more requests."""

FIRST_BACKOFF_S = 0.25
LARGEST_BACKOFF_S = 10.0

CHECKED_A_DAY = 20_000
"""The files that are checked one by one each day. With fewer files, all are checked."""


def is_final(got: Download, tries: int) -> bool:
    """Return whether a picture is not requested again in this fetch, after this many requests."""
    if isinstance(got, bytes) or got.state is PictureState.REFUSED:
        return True
    return tries >= (TEMPORARY_TRIES if got.state is None else ABSENT_TRIES)


def pause_s(got: Download, tries: int, jitter: Callable[[float], float]) -> float:
    """Return the seconds before the next request; the server's own ``Retry-After`` outranks ours.

    Args:
        got: the last answer.
        tries: requests up to now in this fetch, at least 1.
        jitter: chooses a pause, given the longest one.
    """
    asked_for_s = got.retry_after_s if isinstance(got, Failure) else None
    return max(jitter(min(FIRST_BACKOFF_S * 2 ** (tries - 1), LARGEST_BACKOFF_S)), asked_for_s or 0.0)


def _is_temporary(got: Download) -> TypeGuard[Failure]:
    """Whether a download failed without an answer, or by a temporary refusal."""
    return isinstance(got, Failure) and got.state is None


def given_up_after(got: Download, tries_in_all: int) -> Download:
    """Return the answer, or an absence once the requests of all fetches are used up."""
    if _is_temporary(got) and not got.obstacle and tries_in_all >= MAX_TRIES:
        return Failure(PictureState.MISSING, f"requested {tries_in_all} times in all: {got.why}")
    return got


def counted_tries(got: Download, tries: int) -> int:
    """Return the requests that count for a picture: an obstacle before its server says nothing about it."""
    return 0 if _is_temporary(got) and got.obstacle else tries


def silence_text(got: Download) -> str:
    """Return why a server is silent: the last failure, and the remedy where a person has to act."""
    if not _is_temporary(got):
        return ""
    return got.why if got.obstacle is None else f"{got.why}; {OBSTACLE_REMEDIES[got.obstacle]}"


@dataclass(slots=True)
class ServerHistory:
    """The answers of one server during a fetch.

    A picture without a usable answer is at fault only if its server answers for other pictures. Such
    pictures wait here until the server has answered once, or is found silent.
    """

    unanswered: list[Fetched] = field(default_factory=list)
    """Pictures without a usable answer since the last usable one."""
    is_silent: bool = False

    def note(self, fetched: Fetched) -> list[Fetched]:
        """Note one picture; return the pictures that are now known to be at fault themselves."""
        if fetched.state is not None:
            at_fault, self.unanswered = self.unanswered, []
            return at_fault
        self.unanswered.append(fetched)
        self.is_silent = self.is_silent or len(self.unanswered) >= SILENT_PICTURES
        return []


def share_of_day(n_kept: int, last: int, day: int, a_day: int = CHECKED_A_DAY) -> tuple[int, int]:
    """Return which submissions' files are checked on a day: those after the first number, up to the second.

    Over as many days as there are shares, every file is checked once.

    Args:
        n_kept: the number of files.
        last: the highest number of a submission that has a file.
        day: the day, counted from any day.
        a_day: the files to check each day.
    """
    shares = max(1, -(-n_kept // a_day))
    share = day % shares
    return last * share // shares, last * (share + 1) // shares
