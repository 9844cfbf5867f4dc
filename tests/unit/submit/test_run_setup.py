"""Run set-up: what is checked before a run, and what its summary says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.cli import tencent_ids
from support.library_run import HOW
from support.manifest_files import prepare_all
from support.specimens import AT_1_AND_2_S, EVERY_2_S

from batcher.errors import BindingError, ManifestError
from batcher.exit_codes import ExitCode, RunOutcome
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.flowcontrol.sliding_window import MARGIN
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.model.account import Account
from batcher.model.outcome import Answer, Decision, Disposition, Settlement
from batcher.model.records import AskedFor, RunRecord
from batcher.model.submission import EndpointKind, RunId, State, TaskId, Tries
from batcher.submit.ending import Ending
from batcher.submit.loader import load_alone
from batcher.submit.manifest_checks import Brought
from batcher.submit.run_setup import asked_lines, learned_from, ready_run, unrecorded
from batcher.submit.settings import RunSettings

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SERVICE = ServiceAccess(Account(12345, "9193cc662a4c0ec135ec71fb57194b38"), "http://127.0.0.1:9/")
FAST = RunSettings(rate_per_s=1_000, concurrency=2)


def run_record(
    *, pace_per_s: float | None = 5.0, why_slow: str | None = "code 6", ended: bool = True
) -> RunRecord:
    """A run at 20 a second that began an hour ago, and ended a minute ago if it did."""
    ended_at = NOW - timedelta(minutes=1) if ended else None
    began_at = NOW - timedelta(hours=1)
    return RunRecord(RunId(1), began_at, ended_at, 0, 1, "host", "1", 20.0, "", pace_per_s, why_slow, None)


SHARE = 5.0 * (1 + MARGIN) / 20.0


@pytest.mark.parametrize(
    ("last", "share", "age_s"),
    [
        (None, None, 0.0),
        (run_record(), SHARE, 60.0),
        (run_record(ended=False), SHARE, 3600.0),  # it was killed: its pace is as old as the run
        (run_record(pace_per_s=None), None, 0.0),
        (run_record(why_slow=None), None, 0.0),  # it was not slowed down at all
    ],
)
def test_run_starts_with_the_pace_that_the_last_one_learned(
    last: RunRecord | None, share: float | None, age_s: float
) -> None:
    """The share of its pace that the last run was slowed down to, and how old that is."""
    assert learned_from(last, NOW) == (share, age_s)


def brought(source: str, n: int, *, whole: bool = True) -> Brought:
    """The submissions of one kind that a manifest adds."""
    return Brought(source, AskedFor(((AT_1_AND_2_S, n),) if n else (), n, int(bool(n))), whole)


def test_asked_lines_name_open_and_new_submissions() -> None:
    """Each of the first five manifests by its name, the others together; one without new rows is left out."""
    left = AskedFor(((EVERY_2_S, 3),), 3, 1)
    manifests = [brought("-", 1), brought("big.csv", 2, whole=False), brought("old.csv", 0)]
    manifests += [brought(f"{n}.csv", 1) for n in range(4)]
    lines = asked_lines(left, manifests)
    assert [line.split(":")[0] for line in lines] == [
        "Left to send",
        "New in stdin",
        "New in the first 10,000 rows of big.csv",
        "New in 0.csv",
        "New in 1.csv",
        "New in 2 other manifests",
    ]
    assert lines[-1].endswith(": 2")
    assert asked_lines(AskedFor(), []) == ()


@pytest.fixture
async def ledger(tmp_path: Path, manifest: Callable[..., Path]) -> AsyncIterator[RunLedger]:
    """A ledger with four submissions to send."""
    async with await open_for_writing(tmp_path / "batcher.db") as opened:
        await load_alone(opened, prepare_all([str(manifest(tencent_ids(4)))], HOW))
        yield opened


async def test_ledger_of_another_kind_of_endpoint_is_refused(ledger: RunLedger) -> None:
    """Rehearsed submissions must never count as real ones."""
    await ledger.bind(12345, EndpointKind.ZEGO)
    [claim, *_] = await ledger.fresh(after_id=0, limit=1)
    run_id = await ledger.start_run(20, "test")
    await ledger.begin(claim, run_id)
    disposition = Disposition(Decision.SUBMITTED, State.SUBMITTED, Tries(), code=0)
    await ledger.settle(Settlement(claim, Answer(0, task_id=TaskId("t")), disposition), run_id)
    with pytest.raises(BindingError):
        async with ready_run(ledger, SERVICE, FAST):
            """Never reached."""


async def test_manifest_that_would_buy_again_is_refused(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """More than a tenth of its recordings are in the ledger under other parameters."""
    other = ReadOptions(Defaults(vendor="Tencent", definition="20", offsets=("1",)))
    prepared = prepare_all([str(manifest(tencent_ids(4), "again.csv"))], other)
    with pytest.raises(ManifestError, match="asked for under other parameters"):
        async with ready_run(ledger, SERVICE, FAST, prepared, other):
            """Never reached."""
    for one in prepared:
        one.manifest.close()


async def test_run_that_cannot_connect_has_a_summary(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Exit code, counts, manifests and warnings come from the ending, the ledger and the set-up."""
    more = manifest(tencent_ids(2, seed=3), "more.csv")
    prepared = prepare_all([str(more)], HOW)
    async with ready_run(ledger, SERVICE, FAST, prepared, HOW) as ready:
        ready.runner.end_early("stopped by its program")
        ending = await ready.runner.run()
        summary = await ready.summary(ending)
    for one in prepared:
        one.manifest.close()
    assert (summary.exit_code, summary.outcome) == (ExitCode.WORK_LEFT, RunOutcome.WORK_LEFT)
    assert (summary.run_id, summary.sent, summary.app_id) == (ending.run_id, 0, 12345)
    assert summary.reason == "stopped by its program; 4 submissions left"
    assert (summary.now.total, summary.now.by_state[State.PENDING]) == (4, 4)
    assert summary.manifests == (str(more),)
    assert summary.rate_per_s == 1_000


async def test_unrecorded_attempts_are_named_with_their_task_ids(ledger: RunLedger) -> None:
    """A task id that the ledger could not take must not be lost."""
    first, second = await ledger.fresh(after_id=0, limit=2)
    lost = (
        Settlement(
            first, Answer(0, task_id=TaskId("t-1")), Disposition(Decision.SUBMITTED, State.SUBMITTED, Tries())
        ),
        Settlement(second, Answer(1), Disposition(Decision.AGAIN, State.PENDING, Tries(1))),
    )
    ending = Ending(ExitCode.LEDGER, "disk full", RunId(1), 2, 1.0, lost)
    assert unrecorded(ending) == (
        f"{first.file_id} was submitted, task id t-1",
        f"{second.file_id} ended again",
    )
