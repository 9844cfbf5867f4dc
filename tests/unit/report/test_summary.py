"""The closing summary: its content, its width and its sums."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batcher.errors import RunError, RunHalted, RunIncomplete, RunTroubled
from batcher.exit_codes import ExitCode, RunOutcome
from batcher.model.outcome import Outage
from batcher.model.records import InvalidRowRecord, Tally
from batcher.model.submission import RunId, State
from batcher.report.counts import figures, of_run, since
from batcher.report.summary import InvalidRows, RunSummary, summary_json, summary_text
from batcher.zego.codes import MEANINGS, UNKNOWN

RUN = RunId(3)
TALLIES = [
    Tally(State.SUBMITTED, 0, RunId(1), 1_000_000),
    Tally(State.SUBMITTED, 0, RUN, 2_345),
    Tally(State.REJECTED, 41003, RunId(1), 7),
    Tally(State.REJECTED, 1000, RUN, 12),
    Tally(State.FAILED, 1, RUN, 3),
    Tally(State.IN_DOUBT, None, RUN, 2),
    Tally(State.PENDING, None, None, 40),
    Tally(State.PENDING, 100000015, RUN, 5),
    Tally(State.SENDING, None, None, 1),
]
BAD = tuple(
    InvalidRowRecord(
        n,
        "archive.csv",
        n + 1,
        "file_id",
        "1.39776E+18 has lost its digits: a spreadsheet took the id for a number",
    )
    for n in range(1, 6)
)
REASON = (
    "code 7: authentication failed (the service says: auth failed). Check BATCHER_APP_ID and the "
    "ServerSecret in the environment or in the .env file, then run again"
)


def summary_of(tallies: list[Tally], **changes: object) -> RunSummary:
    """A summary of these tallies."""
    made = RunSummary(
        exit_code=1,
        reason="nothing is left to send, but there is something to look at",
        ledger="batcher.db",
        app_id=12345,
        run_id=RUN,
        sent=2_400,
        seconds=121.0,
        now=figures(tallies),
        this_run=of_run(tallies, RUN),
        new=of_run(tallies, RUN),
        invalid_rows=InvalidRows(9, 7, BAD),
        meanings={code: MEANINGS.get(code, UNKNOWN) for code in figures(tallies).codes},
        manifests=("archive.csv",),
    )
    return replace(made, **changes)  # type: ignore[arg-type] # a test names its own changes


def prose(text: str) -> list[str]:
    """The lines of a summary without the commands to paste and the one line that says it all in quiet."""
    lines = [line for line in text.splitlines() if not line.startswith("batcher: ")]
    return [line for line in lines if "batcher " not in line or "`batcher" in line]


@pytest.mark.parametrize("problems_only", [False, True])
@pytest.mark.parametrize("reason", [REASON, "nothing is left to send", "a" * 30 + " b" * 100])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_terminal(width: int, reason: str, problems_only: bool) -> None:
    """Only commands may be wider."""
    text = summary_text(
        summary_of(TALLIES, reason=reason, possibly_twice=28), width=width, problems_only=problems_only
    )
    assert [line for line in prose(text) if len(line) > width] == []


def test_every_code_fits() -> None:
    """The meaning and remedy of every code wrap within 80 columns."""
    tallies = [Tally(State.REJECTED, code, RUN, 1_234_567) for code in (*MEANINGS, 424242)]
    text = summary_text(summary_of(tallies), width=80)
    assert [line for line in prose(text) if len(line) > 80] == []
    assert [code for code in MEANINGS if code and f"code {code} " not in text] == []


def test_counts_add_up() -> None:
    """The lines of the counts add up to all submissions."""
    text = summary_text(summary_of(TALLIES), width=80)
    labels = ("submitted", "rejected", "failed", "in doubt", "still to send")
    lines = re.findall(rf"^  ({'|'.join(labels)}) +([\d,]+)", text, re.MULTILINE)
    counted = {label: int(n.replace(",", "")) for label, n in lines}
    assert sum(tally.n for tally in TALLIES) == sum(counted.values())
    assert counted == dict(zip(labels, (1_002_345, 19, 3, 2, 46), strict=True))
    assert "2,345 in this run" in text


def test_counts_have_every_state() -> None:
    """Every state has a count, and totals are their sums."""
    made, nothing = figures(TALLIES), figures([])
    assert dict.fromkeys(State, 0) == nothing.by_state
    assert (nothing.total, nothing.open, nothing.ended, nothing.troubled) == (0, 0, 0, 0)
    assert (made.total, made.open, made.troubled) == (1_002_415, 46, 24)
    assert made.total == made.open + made.ended
    assert made.codes == {1: 3, 1000: 12, 41003: 7, 100000015: 5}
    assert since(TALLIES, None).total == made.total - 41
    assert of_run(TALLIES, RUN).total == 2_345 + 12 + 3 + 2 + 5


def test_success_is_short() -> None:
    """A successful run mentions no problems, and quiet mode prints nothing."""
    done = summary_of(TALLIES[:2], exit_code=0, reason="nothing is left to send", invalid_rows=InvalidRows())
    text = summary_text(done, width=80)
    assert "Nothing is left to send." in text
    assert "Sent 2,400 requests in 2 min 1 s, 19.8 a second." in text
    words = ("code", "rejected", "failed", "in doubt", "invalid", "retry", "still to send")
    assert [word for word in words if word in text] == []
    assert summary_text(done, width=80, problems_only=True) == ""


def test_quiet_mode_shows_only_problems() -> None:
    """The reason, the codes, the doubts and the invalid rows are shown, and nothing else."""
    text = summary_text(summary_of(TALLIES), width=80, problems_only=True)
    assert text.splitlines()[0] == (
        "batcher: nothing is left to send, but there is something to look at: 12 rejected, 3 failed, "
        "2 in doubt, 7 invalid rows. Details: batcher export archive.csv -o results.csv"
    )
    assert [word for word in ("code 1000", "In doubt", "7 new invalid rows") if word not in text] == []
    assert "Sent" not in text
    assert "submitted  " not in text


def test_quiet_mode_omits_work_left_on_purpose() -> None:
    """An outage or an unfinished load is shown."""
    left = summary_of(TALLIES, exit_code=4, reason="its time was over, 46 left to send")
    assert summary_text(left, width=80, problems_only=True) == ""
    outage = Outage(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "Connection refused")
    for blocked_by_outage in (replace(left, outage=outage), replace(left, cut_off=("-",))):
        said = summary_text(blocked_by_outage, width=80, problems_only=True)
        assert said.startswith("batcher: its time was over, 46 left to send\n")
    unread = replace(summary_of(TALLIES[:2]), exit_code=4, reason="not read to the end yet: archive.csv")
    assert summary_text(unread, width=80, problems_only=True).startswith("batcher: not read to the end yet")


def test_quiet_mode_omits_old_invalid_rows() -> None:
    """The run that found them has reported them."""
    text = summary_text(summary_of(TALLIES, invalid_rows=InvalidRows(9)), width=80, problems_only=True)
    assert "invalid" not in text


def test_halted_run_shows_no_codes_of_earlier_runs() -> None:
    """They have nothing to do with the halt."""
    halted = summary_of(TALLIES, exit_code=3, this_run=of_run(TALLIES, RunId(RUN + 1)))
    assert "Return codes" in summary_text(summary_of(TALLIES), width=80)
    assert "Return codes" not in summary_text(halted, width=80)


def test_first_invalid_rows_are_named() -> None:
    """New invalid rows have file, line, column and reason; older ones are counted."""
    text = summary_text(summary_of(TALLIES), width=100)
    assert "7 new invalid rows, the first 5" in text
    assert "archive.csv line 2, file_id: 1.39776E+18 has lost its digits" in text
    older = summary_text(summary_of(TALLIES, invalid_rows=InvalidRows(9)), width=80)
    assert "9 invalid rows from earlier runs." in older


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"ledger": "batcher.db"}, "batcher export archive.csv -o results.csv"),
        ({"ledger": "my archive.db"}, "batcher export -l 'my archive.db' archive.csv -o results.csv"),
        ({"manifests": ("a b.csv",)}, "batcher export 'a b.csv' -o results.csv"),
        ({"manifests": ("-",)}, "batcher export -o results.csv"),
        ({"manifests": ()}, "batcher export -o results.csv"),
        ({"unfinished": ("a b.csv",)}, "batcher run 'a b.csv'"),
    ],
)
def test_next_commands_can_be_pasted(changes: dict[str, object], command: str) -> None:
    """The next steps are valid shell commands."""
    text = summary_text(summary_of(TALLIES, **changes), width=80)
    assert command in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["to resume", "for results", "to try again"]),
        ({"open_tasks": 3}, ["to resume", "for tasks", "for results", "to try again"]),
        ({"finished_tasks": 3}, ["to resume", "for pictures", "for results", "to try again"]),
    ],
)
def test_next_steps_lead_from_sending_to_tasks_and_pictures(
    changes: dict[str, int], expected: list[str]
) -> None:
    """Open tasks are tracked next, and finished ones have pictures."""
    text = summary_text(summary_of(TALLIES, **changes), width=80)
    steps = text[text.index("Next\n") :].splitlines()[1:]
    assert [step[2:15].strip() for step in steps] == expected


def test_export_of_a_loaded_manifest_needs_no_options() -> None:
    """The ledger remembers how the manifest was read."""
    text = summary_text(summary_of(TALLIES, row_options=" --vendor Tencent"), width=80)
    assert "  for results   batcher export archive.csv -o results.csv" in text.splitlines()


@pytest.mark.parametrize("width", [60, 80])
def test_long_command_continues_after_backslash(width: int) -> None:
    """It fits the terminal, no word is broken, and a shell reads it as one line."""
    options = " --vendor Tencent --definition 10 --offset 1 --offset 2 --sheet 'two words; here'"
    names = ("an archive.csv",)  # it had not arrived, so the ledger does not know how it was read
    changes = {"manifests": names, "cut_off": names, "row_options": options, "ledger": "my archive.db"}
    text = summary_text(summary_of(TALLIES, **changes), width=width)
    following = text[text.index("  for results") :].removeprefix("  for results").strip()
    assert max(map(len, following.splitlines())) <= width
    command = following.replace("\\\n", " ").splitlines()[0]
    assert shlex.split(command) == shlex.split(
        f"batcher export -l 'my archive.db' 'an archive.csv'{options} -o results.csv"
    )
    assert "\\" in following


def test_short_run_shows_no_zero_time() -> None:
    """A run that was halted immediately has sent something."""
    text = summary_text(summary_of(TALLIES, sent=2, seconds=0.2), width=80)
    assert "Sent 2 requests in less than 1 s.\n" in text


def test_remedy_begins_with_capital() -> None:
    """This also holds if its first word is followed by a colon."""
    text = summary_text(summary_of([Tally(State.PENDING, 6, RUN, 4)]), width=80)
    assert "4 × too frequent. No action: batcher" in text


def test_json_has_the_same_numbers() -> None:
    """The JSON object has every state, the codes as text, and the new problems."""
    data = summary_json(summary_of(TALLIES))
    assert {"total", *State} == set(data["submissions"])
    assert data["submissions"]["total"] == sum(data["submissions"][state] for state in State)
    assert data["new"] == {"rejected": 12, "failed": 3, "in_doubt": 2}
    assert data["codes"] == {"1": 3, "1000": 12, "41003": 7, "100000015": 5}
    assert (data["invalid_rows"], data["unfinished_loads"]) == ({"total": 9, "new": 7}, [])
    assert data["outage"] is None
    outage = Outage(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "Connection refused")
    shown = summary_json(summary_of(TALLIES, outage=outage))["outage"]
    assert shown == {"since": "2026-03-04T05:06:07.000Z", "met": "Connection refused"}


@pytest.mark.parametrize(
    ("code", "outcome", "error"),
    [
        (ExitCode.TROUBLE, RunOutcome.TROUBLE, RunTroubled),
        (ExitCode.USAGE, RunOutcome.UNUSABLE, RunError),
        (ExitCode.HALTED, RunOutcome.HALTED, RunHalted),
        (ExitCode.WORK_LEFT, RunOutcome.WORK_LEFT, RunIncomplete),
        (ExitCode.LEDGER_BUSY, RunOutcome.LEDGER_BUSY, RunError),
        (ExitCode.LEDGER, RunOutcome.LEDGER_FAILED, RunError),
        (ExitCode.DEFECT, RunOutcome.DEFECT, RunError),
        (ExitCode.SIGINT, RunOutcome.INTERRUPTED, RunIncomplete),
        (ExitCode.SIGTERM, RunOutcome.TERMINATED, RunIncomplete),
    ],
)
def test_summary_of_a_run_that_is_not_done_raises_for_its_outcome(
    code: ExitCode, outcome: RunOutcome, error: type[RunError]
) -> None:
    """The error is of the kind that says what to do, and carries reason, outcome and exit code."""
    summary = summary_of(TALLIES, exit_code=int(code), reason="why")
    assert summary.outcome is outcome
    with pytest.raises(RunError) as raised:
        summary.raise_for_outcome()
    assert type(raised.value) is error
    assert (str(raised.value), raised.value.outcome, raised.value.exit_code) == ("why", outcome, code)


def test_summary_of_a_run_that_is_done_raises_nothing() -> None:
    """With ``allow_trouble``, neither does one that sent everything and met trouble."""
    done = summary_of(TALLIES, exit_code=0)
    done.raise_for_outcome()
    assert done.outcome is RunOutcome.DONE
    summary_of(TALLIES, exit_code=1).raise_for_outcome(allow_trouble=True)


def test_every_exit_code_has_an_outcome_of_its_own() -> None:
    """No two exit codes mean the same outcome."""
    assert len({RunOutcome.of(code) for code in ExitCode}) == len(ExitCode) == len(RunOutcome)
