"""The summary of a fetch: exit code, reason, text and JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batcher.exit_codes import ExitCode
from batcher.model.events import PictureNotFetched
from batcher.model.submission import FileId
from batcher.model.task import PictureState
from batcher.report.fetch_summary import FetchSummary, fetch_json, fetch_lines, fetch_steps

TOTALS: dict[PictureState | None, int] = dict.fromkeys([*PictureState, None], 0)
DONE = FetchSummary(
    Path("/a/batcher.db"),
    Path("out"),
    2.5,
    {PictureState.WHOLE: 3, PictureState.BLACK: 1},
    {},
    TOTALS | {PictureState.WHOLE: 3, PictureState.BLACK: 1},
    n_bytes=4096,
)
EXAMPLE = PictureNotFetched(FileId("7"), 2, PictureState.MISSING, "HTTP 404")
GIVEN_UP = replace(DONE, given_up={PictureState.MISSING: 1}, examples=(EXAMPLE,))


@pytest.mark.parametrize(
    ("summary", "code", "words"),
    [
        (DONE, ExitCode.DONE, "all pictures are fetched"),
        (replace(DONE, given_up_before=2), ExitCode.DONE, "nothing is left to fetch"),
        (GIVEN_UP, ExitCode.TROUBLE, "some pictures cannot be fetched"),
        (replace(GIVEN_UP, left=1), ExitCode.WORK_LEFT, "could not be fetched now"),
        (replace(GIVEN_UP, more=True), ExitCode.WORK_LEFT, "limit reached"),
        (replace(DONE, left=1, silent_servers={"http://a:1": "no answer"}), ExitCode.WORK_LEFT, "a server"),
        (replace(GIVEN_UP, cancelled=True), ExitCode.WORK_LEFT, "stopped by a signal"),
    ],
)
def test_summary_with_work_left_outranks_pictures_given_up(
    summary: FetchSummary, code: ExitCode, words: str
) -> None:
    """The exit code and the reason name the most important result."""
    assert (summary.exit_code, words in summary.reason) == (code, True)


def test_lines_of_a_fetch_with_pictures_given_up_name_examples_and_the_index() -> None:
    """The user sees how many were fetched, which were not, and how to try again."""
    lines = fetch_lines(replace(GIVEN_UP, in_place=5), Path("out/pictures.csv"), 80)
    assert lines == [
        "Some pictures cannot be fetched; all others are there.",
        "  4 pictures fetched into out (4 KiB in 2 s): 3 whole, 1 black; 5 already there",
        "  1 picture given up: 1 missing; for example",
        "    7, picture 2: missing, HTTP 404",
        "  out/pictures.csv lists all pictures that were fetched or given up",
    ]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (DONE, ["for a report", "for results"]),
        (GIVEN_UP, ["for a report", "for results"]),
        (replace(GIVEN_UP, retriable=1), ["to try again", "for a report", "for results"]),
        (replace(DONE, more=True), ["to resume", "for a report", "for results"]),
        (replace(DONE, totals=dict.fromkeys(DONE.totals, 0)), ["for results"]),
    ],
)
def test_next_steps_of_a_fetch_offer_again_only_where_it_can_help(
    summary: FetchSummary, expected: list[str]
) -> None:
    """Pictures lead to the report; pictures refused or gone for good are not tried again."""
    assert [purpose for _, purpose in fetch_steps(summary)] == expected


def test_lines_of_a_fetch_without_anything_to_do_are_two() -> None:
    """Nothing was fetched and nothing given up."""
    idle = replace(DONE, fetched={}, n_bytes=0, in_place=4)
    assert fetch_lines(idle, Path("out/pictures.csv"), 80) == [
        "All pictures are fetched.",
        "  0 pictures fetched into out; 4 already there",
    ]


def test_json_has_every_state_and_the_exit_code_of_the_command() -> None:
    """A signal's exit code replaces that of the summary."""
    value = fetch_json(GIVEN_UP, 130)
    assert value == {
        "ledger": "/a/batcher.db",
        "folder": "out",
        "exit_code": 130,
        "reason": "some pictures cannot be fetched; all others are there",
        "fetched": 4,
        "whole": 3,
        "blank": 0,
        "black": 1,
        "broken": 0,
        "refused": 0,
        "missing": 1,
        "left": 0,
        "more": False,
        "in_place": 0,
        "bytes": 4096,
        "seconds": 2.5,
        "silent_servers": [],
        "pictures": {
            "total": 4,
            "unfetched": 0,
            "whole": 3,
            "blank": 0,
            "black": 1,
            "broken": 0,
            "refused": 0,
            "missing": 0,
        },
    }
