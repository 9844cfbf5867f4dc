"""The decisions of a fetch, by table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from batcher.fetch.fetch_policy import (
    ABSENT_TRIES,
    CHECKED_A_DAY,
    FIRST_BACKOFF_S,
    LARGEST_BACKOFF_S,
    MAX_TRIES,
    SILENT_PICTURES,
    TEMPORARY_TRIES,
    ServerHistory,
    given_up_after,
    is_final,
    pause_s,
    share_of_day,
)
from batcher.fetch.http_source import Download, Failure, refused
from batcher.model.records import Fetched, PictureRecord
from batcher.model.task import PictureState

BUSY, GONE, TORN = (
    Failure(None, "HTTP 503"),
    Failure(PictureState.MISSING, "HTTP 404"),
    Failure(PictureState.BROKEN, "it was cut off"),
)


@pytest.mark.parametrize(
    ("got", "tries", "final"),
    [
        (b"", 1, True),
        (refused("no"), 1, True),
        (GONE, 1, False),
        (GONE, ABSENT_TRIES - 1, False),
        (GONE, ABSENT_TRIES, True),
        (TORN, ABSENT_TRIES - 1, False),
        (TORN, ABSENT_TRIES, True),
        (BUSY, ABSENT_TRIES, False),
        (BUSY, TEMPORARY_TRIES - 1, False),
        (BUSY, TEMPORARY_TRIES, True),
    ],
)
def test_answer_after_some_tries_is_final_or_not(got: Download, tries: int, *, final: bool) -> None:
    """A picture or a refusal ends a picture's requests; other answers have a number of tries."""
    assert is_final(got, tries) is final


@pytest.mark.parametrize(
    ("got", "tries", "expected"),
    [
        (GONE, 1, FIRST_BACKOFF_S),
        (GONE, 2, 2 * FIRST_BACKOFF_S),
        (BUSY, 3, 4 * FIRST_BACKOFF_S),
        (BUSY, 30, LARGEST_BACKOFF_S),
        (Failure(None, "HTTP 429", 7.5), 1, 7.5),
        (Failure(None, "HTTP 429", 0.0), 1, FIRST_BACKOFF_S),
    ],
)
def test_pause_doubles_unless_retry_after_is_longer(got: Download, tries: int, expected: float) -> None:
    """Pauses double up to the longest; a longer ``Retry-After`` of the server outranks them."""
    assert pause_s(got, tries, lambda longest_s: longest_s) == expected


@pytest.mark.parametrize(
    ("got", "tries", "expected"),
    [
        (BUSY, MAX_TRIES - 1, BUSY),
        (BUSY, MAX_TRIES, Failure(PictureState.MISSING, f"requested {MAX_TRIES} times in all: HTTP 503")),
        (TORN, MAX_TRIES, TORN),
        (GONE, MAX_TRIES, GONE),
    ],
)
def test_picture_without_answer_is_given_up_after_all_tries(
    got: Download, tries: int, expected: Download
) -> None:
    """Only a picture that never got a usable answer is given up by the number of its requests."""
    assert given_up_after(got, tries) == expected


@dataclass(frozen=True)
class Numbered:
    """A picture that is only a number."""

    number: int


def fetched(number: int, state: PictureState | None) -> Fetched:
    """The result of fetching a picture."""
    return Fetched(cast(PictureRecord, Numbered(number)), state, 1, "HTTP 503")


def test_server_that_answers_puts_the_fault_on_earlier_pictures() -> None:
    """A usable answer shows that the pictures without one are at fault themselves, each once."""
    server, first, second = ServerHistory(), fetched(1, None), fetched(2, None)
    assert [server.note(first), server.note(second)] == [[], []]
    assert server.note(fetched(3, PictureState.WHOLE)) == [first, second]
    assert server.note(fetched(4, PictureState.MISSING)) == []
    assert not server.is_silent


def test_server_without_answers_becomes_silent() -> None:
    """A server is silent after the given number of pictures in a row without a usable answer."""
    server = ServerHistory()
    for number in range(SILENT_PICTURES - 1):
        server.note(fetched(number, None))
    assert not server.is_silent
    server.note(fetched(SILENT_PICTURES, None))
    assert server.is_silent


@pytest.mark.parametrize(
    ("n_kept", "last"),
    [(0, 0), (1, 1), (CHECKED_A_DAY, 7), (CHECKED_A_DAY * 3 + 1, 1000), (10**7, 3)],
)
def test_shares_of_days_cover_every_submission_once(n_kept: int, last: int) -> None:
    """The shares of consecutive days check every submission once, whichever day is the first."""
    shares = max(1, -(-n_kept // CHECKED_A_DAY))
    parts = sorted(share_of_day(n_kept, last, 20_000 + day) for day in range(shares))
    assert [number for first, end in parts for number in range(first + 1, end + 1)] == [*range(1, last + 1)]
