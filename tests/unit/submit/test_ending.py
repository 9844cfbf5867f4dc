"""The end of a run: exit code and reason for everything that can stop it, by table."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations

import pytest

from batcher.exit_codes import PRECEDENCE, ExitCode
from batcher.model.outcome import Outage
from batcher.model.records import Tally
from batcher.model.submission import RunId, State
from batcher.submit.ending import Conclusion, LedgerAtEnd, ending_of
from batcher.submit.manifest_checks import LateManifests

OUTAGE = Outage(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "Connection refused")
SINCE = "while the endpoint did not answer (since 2026-03-04 05:06:07 UTC, last: Connection refused)"
ADVICE = ". Check the network and BATCHER_ENDPOINT, then run again to resume"
LATE = LateManifests(("-", "b.csv"), "-", 25)

SENT = Tally(State.SUBMITTED, 0, RunId(7), 30)
WAITING = Tally(State.PENDING, None, None, 1_234)
IN_FLIGHT = Tally(State.SENDING, None, None, 1)
EMPTY = LedgerAtEnd()
ALL_SENT = LedgerAtEnd([SENT])
LEFT = LedgerAtEnd([SENT, WAITING, IN_FLIGHT])
N = "1,235 submissions left"


def troubled(state: State, run: int, reported: int) -> LedgerAtEnd:
    """A ledger with one submission in a state, settled by a run; trouble up to ``reported`` is not new."""
    return LedgerAtEnd([SENT, Tally(state, 1000, RunId(run), 1)], reported_run=reported)


DONE = "nothing is left to send"
TROUBLE = "all submissions were sent; some need your attention"
INVALID = "all submissions were sent; some rows are invalid"


@pytest.mark.parametrize(
    ("found", "code", "reason"),
    [
        (EMPTY, ExitCode.DONE, DONE),
        (ALL_SENT, ExitCode.DONE, DONE),
        (troubled(State.REJECTED, 7, 6), ExitCode.TROUBLE, TROUBLE),
        (troubled(State.FAILED, 7, 0), ExitCode.TROUBLE, TROUBLE),
        (troubled(State.IN_DOUBT, 3, 2), ExitCode.TROUBLE, TROUBLE),
        (troubled(State.REJECTED, 6, 6), ExitCode.DONE, DONE),
        (troubled(State.IN_DOUBT, 2, 6), ExitCode.DONE, DONE),
        (LedgerAtEnd([SENT], new_invalid_rows=1), ExitCode.TROUBLE, INVALID),
        (LEFT, ExitCode.WORK_LEFT, f"submissions were added as the run ended; {N}"),
        (
            LedgerAtEnd([SENT], ["stdin", "a.csv", "stdin"], new_invalid_rows=1),
            ExitCode.WORK_LEFT,
            "not read to the end yet: stdin, a.csv; run again with these manifests to resume",
        ),
    ],
)
def test_ending_of_a_run_without_a_stop_depends_on_the_ledger(
    found: LedgerAtEnd, code: ExitCode, reason: str
) -> None:
    """The ledger decides: work left, unfinished loads, new trouble, or nothing."""
    assert ending_of({}, found) == Conclusion(code, reason)


@pytest.mark.parametrize(
    ("early", "limit", "outage", "reason"),
    [
        ("time limit reached", None, None, f"time limit reached; {N}"),
        ("time limit reached", 5, None, f"time limit reached; {N}"),
        (None, 5, None, f"stopped at the limit of 5; {N}"),
        (None, None, OUTAGE, f"submissions were added as the run ended {SINCE}; {N}{ADVICE}"),
        ("time limit reached", None, OUTAGE, f"time limit reached {SINCE}; {N}{ADVICE}"),
        (None, 5, OUTAGE, f"stopped at the limit of 5 {SINCE}; {N}{ADVICE}"),
    ],
)
def test_ending_of_a_run_that_stopped_on_purpose_with_work_left(
    early: str | None, limit: int | None, outage: Outage | None, reason: str
) -> None:
    """The reason names the purpose, how much is left, and the outage if there is one."""
    stops = {} if early is None else {ExitCode.WORK_LEFT: early}
    ended = ending_of(stops, LEFT, limit=limit, outage=outage)
    assert ended == Conclusion(ExitCode.WORK_LEFT, reason, outage)


def test_stop_on_purpose_with_nothing_left_is_done() -> None:
    """A limit or deadline that leaves no work undone is not worth mentioning; neither is an outage."""
    early = {ExitCode.WORK_LEFT: "time limit reached"}
    assert ending_of(early, ALL_SENT, limit=30, outage=OUTAGE) == Conclusion(ExitCode.DONE, DONE)


def test_manifests_that_did_not_arrive_in_time_leave_work() -> None:
    """Also when nothing of them is in the ledger."""
    ended = ending_of({ExitCode.WORK_LEFT: LATE.reason}, EMPTY, cut_off=LATE)
    assert ended.exit is ExitCode.WORK_LEFT
    assert ended.reason.startswith(f"{LATE.reason}; 0 submissions left. Check why it is slow")


@pytest.mark.parametrize("outage", [None, OUTAGE])
@pytest.mark.parametrize("found", [EMPTY, LEFT])
@pytest.mark.parametrize("code", [ExitCode.DEFECT, ExitCode.LEDGER, ExitCode.HALTED])
def test_halts_and_faults_win_over_any_purpose(
    code: ExitCode, found: LedgerAtEnd, outage: Outage | None
) -> None:
    """Their own reason is the reason, and an outage is not why work is left."""
    stops = {ExitCode.WORK_LEFT: "time limit reached", code: "why"}
    assert ending_of(stops, found, limit=5, outage=outage) == Conclusion(code, "why")


@pytest.mark.parametrize("code", [ExitCode.SIGINT, ExitCode.SIGTERM])
def test_signal_during_an_outage_names_the_outage(code: ExitCode) -> None:
    """The user learns that the endpoint is why work is left."""
    ended = ending_of({code: "stopped by X"}, LEFT, outage=OUTAGE)
    assert ended == Conclusion(code, f"stopped by X {SINCE}; {N}{ADVICE}", OUTAGE)
    assert ending_of({code: "stopped by X"}, LEFT) == Conclusion(code, "stopped by X")


@pytest.mark.parametrize(
    ("early", "limit", "found", "code", "reason"),
    [
        (None, 3, LEFT, ExitCode.WORK_LEFT, f"stopped at the limit of 3; {N}. bad line"),
        ("time limit reached", None, LEFT, ExitCode.WORK_LEFT, f"time limit reached; {N}. bad line"),
        (None, 3, ALL_SENT, ExitCode.USAGE, "bad line"),
        (None, None, LEFT, ExitCode.WORK_LEFT, f"a manifest cannot be used; {N}. bad line"),
        (None, None, ALL_SENT, ExitCode.USAGE, "bad line"),
    ],
)
def test_late_manifest_fault_with_work_left_is_exit_code_4(
    early: str | None, limit: int | None, found: LedgerAtEnd, code: ExitCode, reason: str
) -> None:
    """With work left the exit code is 4 and the reason names the purpose, too; else it is 2."""
    stops = {ExitCode.USAGE: "bad line", **({} if early is None else {ExitCode.WORK_LEFT: early})}
    assert ending_of(stops, found, limit=limit) == Conclusion(code, reason)


STOPPED_BY = [code for code in PRECEDENCE if code not in (ExitCode.TROUBLE, ExitCode.DONE)]


@pytest.mark.parametrize(("first", "second"), [*combinations(STOPPED_BY, 2)])
def test_precedence_of_exit_codes(first: ExitCode, second: ExitCode) -> None:
    """Of two reasons to stop the one that PRECEDENCE names first wins: 70, 6, 3, 130, 143, 4, 2."""
    assert ending_of({second: "b", first: "a"}, LEFT).exit is first
    assert [*map(int, PRECEDENCE)] == [70, 6, 3, 130, 143, 4, 2, 1, 0]


def test_unreadable_ledger_is_exit_code_6_unless_a_defect_outweighs_it() -> None:
    """The contents of the ledger are not needed then."""
    stops = {ExitCode.LEDGER: "disk full", ExitCode.SIGINT: "stopped by SIGINT"}
    assert ending_of(stops, None, outage=OUTAGE) == Conclusion(ExitCode.LEDGER, "disk full")
    assert ending_of({**stops, ExitCode.DEFECT: "x"}, None) == Conclusion(ExitCode.DEFECT, "x")
