"""Callbacks in the ledger: each counts once, a claim is not a fact, and every number stays right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from support.ledger_sql import writing
from support.specimens import ACCEPTED, AT_1_AND_2_S, TASK, rows_of
from support.statements import plans_of, statements_of

from batcher.flowcontrol.retry_policy import decide
from batcher.ledger.callback_effects import DENIED_AFTER_S, LOOKS_AFTER_S, PollVerdict
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.verify import verify
from batcher.model.callbacks import Callback, Composed, Other, Recorded, Seal, Snapshot
from batcher.model.outcome import Answer, Outcome, ReplyLost, Settlement
from batcher.model.submission import (
    Claim,
    FileId,
    InDoubtPolicy,
    InvalidRow,
    Row,
    RunId,
    State,
    TaskId,
    Vendor,
)
from batcher.model.task import Effect

RETRY, HOLD = InDoubtPolicy.RETRY, InDoubtPolicy.HOLD
LOST = ReplyLost("no answer came")
UNNAMED = Answer(0, "success", "outer", "inner", None)
NAMED = TaskId("named-by-a-callback")
NONCES = count()


@dataclass
class Pair:
    """The ledger of a run, and the ledger of a listener, open at the same time."""

    run: RunLedger
    beside: CallbackLedger
    run_id: RunId
    now: list[float]

    async def load(self, *numbers: int) -> None:
        """Load submissions of these recordings."""
        load_id = await self.run.start_load("archive.csv", "/data/archive.csv", ["file_id"])
        await self.run.add(load_id, "archive.csv", rows_of(*numbers), [])
        await self.run.end_load(load_id)

    async def send(self, outcome: Outcome, policy: InDoubtPolicy = HOLD) -> Claim:
        """Send the first open submission, with this outcome."""
        found = await self.run.fresh(after_id=0, limit=1)
        claim = found[0] if found else (await self.run.doubtful(after=(0, 0), limit=1))[0][1]
        assert await self.run.begin(claim, self.run_id)
        made = decide(outcome, claim, policy=policy, proven=True, jitter=lambda most: most)
        await self.run.settle(Settlement(claim, outcome, made), self.run_id)
        return claim

    async def take(self, callback: Callback, row: Row | InvalidRow | None = None) -> Effect:
        """Receive a callback."""
        taken = await self.beside.take(callback, "what it said", row)
        assert taken is not None
        return taken.effect

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Read rows as another program does."""
        with writing(self.run.name) as connection:
            return list(connection.execute(sql))

    @property
    def states(self) -> list[object]:
        """The states of all submissions, in their order."""
        return [state for (state,) in self.ask("SELECT state FROM submissions ORDER BY id")]

    @property
    def effects(self) -> list[object]:
        """The effects of all callbacks, in their order."""
        return [effect for (effect,) in self.ask("SELECT effect FROM callbacks ORDER BY id")]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Both ledgers; at the end the records must agree."""
    path, now = tmp_path / "l.db", [2e9]
    async with await open_for_writing(path) as run:
        run_id = await run.start_run(20.0, "test")
        async with await CallbackLedger.open(path, clock=lambda: now[0]) as beside:
            await beside.tasks.take_up(600_000)
            yield Pair(run, beside, run_id, now)
        assert list(verify(path, lambda *_: None)) == []
        with writing(path) as connection:
            grouped = "SELECT state, count(*) FROM tasks GROUP BY 1"
            tallied = "SELECT state, n FROM task_tallies WHERE n <> 0"
            assert sorted(connection.execute(grouped)) == sorted(connection.execute(tallied))
            tracked = "SELECT count(*) FROM submissions WHERE tracked"
            assert (
                connection.execute(tracked).fetchone()
                == connection.execute("SELECT count(*) FROM tasks").fetchone()
            )


def seal() -> Seal:
    """A new nonce and time."""
    return Seal(2_000_000_000, str(next(NONCES)), "good")


def ended(task_id: str = TASK, file_id: str | None = "1") -> Snapshot:
    """A callback about an ended task."""
    return Snapshot(seal(), TaskId(task_id), Vendor.TENCENT, FileId(file_id) if file_id else None)


def accepted(task_id: str) -> Answer:
    """An answer that names a task."""
    return Answer(0, "success", "outer", "inner", TaskId(task_id))


def recorded(file_id: str = "7") -> Recorded:
    """A callback about a recording."""
    return Recorded(seal(), Vendor.TENCENT, FileId(file_id))


def row(file_id: str = "7") -> Row:
    """The submission of that recording."""
    return Row(0, FileId(file_id), AT_1_AND_2_S, '{"stream_alias":"s"}')


# -- tasks of ours -------------------------------------------------------------------------------------


async def test_callback_of_an_untracked_task_makes_it_due(pair: Pair) -> None:
    """The task is tracked and claimed; it is not finished by that."""
    await pair.load(1)
    await pair.send(ACCEPTED)
    assert await pair.take(ended()) is Effect.CLAIMED
    due = [(TASK, "waiting", 2e12, 2e12, None)]
    assert pair.ask("SELECT task_id, state, due_at_ms, claimed_at_ms, closed_at_ms FROM tasks") == due
    assert [task.task_id for task in await pair.beside.claimed_tasks.due(int(2e12), 10)] == [TASK]


async def test_callback_of_a_tracked_task_makes_it_due(pair: Pair) -> None:
    """Its next poll is due now, before its usual time."""
    await pair.load(1)
    await pair.send(ACCEPTED)
    await pair.beside.tasks.seed(10**9)
    pair.now[0] += 5
    assert await pair.beside.claimed_tasks.due(10**14, 10) == []
    assert await pair.take(ended(file_id=None)) is Effect.CLAIMED
    assert [task.due_at_ms for task in await pair.beside.claimed_tasks.due(10**14, 10)] == [
        int(pair.now[0] * 1000)
    ]


async def test_callback_without_a_recording_tracks_its_task_alone(pair: Pair) -> None:
    """Huawei's callbacks name only the task: it is found by its id, and no other task is tracked."""
    await pair.load(1, 2, 3)
    for number in range(1, 4):
        await pair.send(accepted(f"t-{number}"))
    assert await pair.take(ended("t-2", None)) is Effect.CLAIMED
    assert pair.ask("SELECT submission_id, task_id FROM tasks") == [(2, "t-2")]


async def test_callback_of_another_program_tracks_no_task(pair: Pair) -> None:
    """A task of another program changes no task of the ledger, however often it is polled."""
    await pair.load(1, 2, 3)
    for number in range(1, 4):
        await pair.send(accepted(f"t-{number}"))
    await pair.take(ended("of another program", None))
    for delay_s in (*LOOKS_AFTER_S, 0):
        await pair.beside.look_again()
        pair.now[0] += delay_s
    assert pair.effects == ["stranger"]
    assert pair.ask("SELECT count(*) FROM tasks") == [(0,)]


async def test_callback_with_another_recording_claims_the_recorded_task(pair: Pair) -> None:
    """Recording 3 has the task on record: its callback, naming recording 2, claims the task of 3."""
    await pair.load(2, 3)
    await pair.send(LOST)
    await pair.send(accepted("t-3"))
    assert await pair.take(ended("t-3", "2")) is Effect.CLAIMED
    assert await pair.beside.look_again() == 0
    assert pair.states == ["in_doubt", "submitted"]
    assert pair.ask("SELECT submission_id, task_id FROM tasks") == [(2, "t-3")]


async def test_one_task_settles_one_submission(pair: Pair) -> None:
    """Two doubts, one task named for both: the first settles, the second is released."""
    await pair.load(1, 2)
    await pair.send(LOST)
    await pair.send(LOST)
    for recording in ("1", "2"):
        await pair.take(ended(NAMED, recording))
    await pair.beside.look_again()
    checks = await pair.beside.to_check(10)
    effects = [await pair.beside.polled(check, PollVerdict.CONFIRMED) for check in checks]
    assert effects == [Effect.SETTLED, Effect.CLAIMED]
    assert pair.states == ["submitted", "in_doubt"]
    assert pair.ask("SELECT count(*) FROM attempts WHERE task_id IS NOT NULL") == [(1,)]


async def test_task_that_an_answer_names_meanwhile_settles_no_other_submission(pair: Pair) -> None:
    """The answer of recording 2 arrives between the callback for recording 1 and the poll."""
    await pair.load(1, 2)
    await pair.send(LOST)
    await pair.take(ended("t-2", "1"))
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    await pair.send(accepted("t-2"))
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.CLAIMED
    assert pair.states == ["in_doubt", "submitted"]


@pytest.mark.parametrize(("policy", "state"), [(RETRY, "pending"), (HOLD, "in_doubt")])
async def test_disproved_claim_leaves_the_submission_as_it_was(
    pair: Pair, policy: InDoubtPolicy, state: str
) -> None:
    """The service names another recording for the task: the submission is released unchanged."""
    await pair.load(1)
    await pair.send(LOST, policy)
    await pair.take(ended(NAMED))
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    assert (check.file_id, await pair.beside.polled(check, PollVerdict.FOREIGN)) == ("1", Effect.DENIED)
    assert (pair.states, pair.effects) == ([state], ["denied"])
    assert await pair.beside.to_check(10) == []


async def test_callback_before_the_answer_counts_once_the_answer_is_recorded(pair: Pair) -> None:
    """It arrives before the task id is on record."""
    await pair.load(1)
    assert await pair.take(ended()) is Effect.OPEN
    assert await pair.beside.look_again() == 1
    await pair.send(ACCEPTED)
    assert await pair.beside.look_again() == 0
    pair.now[0] += LOOKS_AFTER_S[0]
    assert await pair.beside.look_again() == 1
    assert pair.effects == ["claimed"]


async def test_callback_of_a_request_in_flight_is_checked_again_soon(pair: Pair) -> None:
    """While the submission is in flight the callback is checked after 1 s, 2 s, 4 s …"""
    await pair.load(1)
    [claim] = await pair.run.fresh(after_id=0, limit=1)
    assert await pair.run.begin(claim, pair.run_id)
    assert await pair.take(ended()) is Effect.OPEN
    for wait_s in (0, 1, 1, 2, 4, 8, 16, 32, 60, 60):
        pair.now[0] += wait_s
        assert await pair.beside.look_again() == 1
    made = decide(ACCEPTED, claim, policy=HOLD, proven=False, jitter=lambda most: most)
    await pair.run.settle(Settlement(claim, ACCEPTED, made), pair.run_id)
    pair.now[0] += 60
    assert await pair.beside.look_again() == 1
    assert pair.effects == ["claimed"]


async def test_callback_of_a_task_given_up_makes_it_due(pair: Pair) -> None:
    """A callback is a reason to poll once more."""
    await pair.load(1)
    await pair.send(ACCEPTED)
    assert await pair.take(ended()) is Effect.CLAIMED
    with writing(pair.run.name) as connection:
        connection.execute("UPDATE tasks SET state = 'unknown', closed_at_ms = 5, due_at_ms = NULL")
        connection.execute(
            "INSERT INTO task_tallies (state, n) VALUES ('unknown', 1), ('waiting', 0) "
            "ON CONFLICT (state) DO UPDATE SET n = excluded.n"
        )
    assert await pair.take(ended()) is Effect.CLAIMED
    assert pair.ask("SELECT state, closed_at_ms, due_at_ms IS NOT NULL FROM tasks") == [("waiting", None, 1)]


async def test_callback_of_an_ended_task_changes_nothing(pair: Pair) -> None:
    """The result of a poll is final."""
    await pair.load(1)
    await pair.send(ACCEPTED)
    await pair.take(ended())
    with writing(pair.run.name) as connection:
        connection.execute("UPDATE tasks SET state = 'failed', closed_at_ms = 5, due_at_ms = NULL")
        connection.execute(
            "INSERT INTO task_tallies (state, n) VALUES ('failed', 1), ('waiting', 0) "
            "ON CONFLICT (state) DO UPDATE SET n = excluded.n"
        )
    assert await pair.take(ended()) is Effect.NOTED
    assert pair.ask("SELECT state, due_at_ms FROM tasks") == [("failed", None)]


# -- each once -----------------------------------------------------------------------------------------


async def test_repeated_callback_changes_nothing(pair: Pair) -> None:
    """It is recorded as a repetition."""
    first = recorded()
    assert await pair.take(first, row()) is Effect.ADDED
    again = await pair.beside.take(first, "what it said", row())
    assert again is not None
    assert (again.effect, again.again) == (Effect.ADDED, True)
    assert (
        pair.ask("SELECT count(*) FROM callbacks") == pair.ask("SELECT count(*) FROM submissions") == [(1,)]
    )


async def test_seal_is_accepted_for_one_callback(pair: Pair) -> None:
    """A signature covers no body: another callback with the same nonce and time is refused."""
    first = recorded("7")
    await pair.take(first, row("7"))
    forged = Recorded(first.seal, Vendor.TENCENT, FileId("8"))
    assert await pair.beside.take(forged, "what it said", row("8")) is None
    assert pair.ask("SELECT file_id FROM submissions") == [("7",)]


# -- doubts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "policy"), [(LOST, HOLD), (LOST, RETRY), (UNNAMED, HOLD)])
async def test_doubt_is_settled_once_a_poll_has_confirmed_it(
    pair: Pair, lost: Outcome, policy: InDoubtPolicy
) -> None:
    """Until then the submission is held; then its lost attempt is the one that was accepted."""
    await pair.load(1, 2)
    claim = await pair.send(lost, policy)
    assert await pair.take(ended(NAMED)) is Effect.OPEN
    assert await pair.beside.look_again() == 1
    assert pair.states[0] == "in_doubt"
    assert not await pair.run.begin(claim._replace(number=2), pair.run_id)
    [check] = await pair.beside.to_check(10)
    assert (check.task_id, check.vendor) == (NAMED, Vendor.TENCENT)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.SETTLED
    assert pair.states == ["submitted", "pending"]
    assert pair.ask("SELECT code, doubted, tracked FROM submissions WHERE id = 1") == [(0, 0, 1)]
    attempt = "SELECT decision, task_id, code FROM attempts WHERE submission_id = 1"
    assert pair.ask(attempt) == [("submitted", NAMED, 0)]
    assert pair.ask("SELECT task_id, state, due_at_ms FROM tasks") == [(NAMED, "waiting", 2e12)]
    [record] = await pair.run.records_of([FileId("1")])
    assert (record.state, record.task_id, record.why_in_doubt) == (State.SUBMITTED, NAMED, None)
    assert await pair.beside.to_check(10) == []


async def test_one_of_several_lost_attempts_leaves_a_doubt(pair: Pair) -> None:
    """Sent three times without an answer and named once: it is submitted, perhaps more than once."""
    await pair.load(1)
    for _ in range(3):
        await pair.send(LOST, RETRY)
    await pair.take(ended(NAMED))
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.SETTLED
    assert pair.ask("SELECT state, doubted FROM submissions") == [("submitted", 1)]
    decisions = pair.ask("SELECT decision FROM attempts ORDER BY number")
    assert decisions == [("submitted",), ("in_doubt",), ("in_doubt",)]


async def test_second_task_of_a_submission_is_a_double(pair: Pair) -> None:
    """Its answer was lost and it was sent again and accepted; then the callback of the first task arrives."""
    await pair.load(1)
    await pair.send(LOST, RETRY)
    await pair.send(ACCEPTED, RETRY)
    assert pair.states == ["submitted"]
    await pair.take(ended(NAMED))
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.DOUBLE
    assert pair.ask("SELECT task_id FROM attempts ORDER BY number") == [(None,), (TASK,)]
    assert pair.ask("SELECT submission_id, task_id FROM callbacks") == [(1, NAMED)]


@pytest.mark.parametrize(("policy", "state"), [(RETRY, "pending"), (HOLD, "in_doubt")])
async def test_claim_that_the_service_denies_changes_nothing(
    pair: Pair, policy: InDoubtPolicy, state: str
) -> None:
    """After several polls the denial is believed, and the submission is released unchanged."""
    await pair.load(1)
    await pair.send(LOST, policy)
    await pair.take(ended("unknown"))
    await pair.beside.look_again()
    for delay_s in DENIED_AFTER_S:
        [check] = await pair.beside.to_check(10)
        assert await pair.beside.polled(check, PollVerdict.UNKNOWN) is Effect.CHECKED
        assert pair.states == ["in_doubt"]
        assert await pair.beside.to_check(10) == []
        pair.now[0] += delay_s
    [check] = await pair.beside.to_check(10)
    assert await pair.beside.polled(check, PollVerdict.UNKNOWN) is Effect.DENIED
    assert pair.states == [state]
    assert pair.ask("SELECT task_id, decision FROM attempts") == [(None, "in_doubt")]
    assert pair.ask("SELECT due_at_ms FROM callbacks") == [(None,)]


async def test_task_of_two_possible_doubts_is_ambiguous(pair: Pair) -> None:
    """One recording with two sets of parameters, both in doubt: the user must decide."""
    await pair.load(1)
    load_id = await pair.run.start_load("again.csv", "/data/again.csv", ["file_id"])
    other = AT_1_AND_2_S._replace(definition="20")
    await pair.run.add(load_id, "again.csv", rows_of(1, asked=other), [])
    await pair.run.end_load(load_id)
    await pair.send(LOST)
    await pair.send(LOST)
    await pair.take(ended(NAMED))
    await pair.beside.look_again()
    assert (pair.effects, pair.states) == (["ambiguous"], ["in_doubt", "in_doubt"])


async def test_attempt_begun_after_the_callback_is_not_settled(pair: Pair) -> None:
    """A callback from before the attempt is about something else."""
    await pair.load(1)
    pair.now[0] = 1e9
    await pair.take(ended(NAMED))
    pair.now[0] = 2e9
    await pair.send(LOST)
    await pair.beside.look_again()
    assert (pair.effects, pair.states) == (["open"], ["in_doubt"])


async def test_callback_of_a_killed_run_waits_for_the_next_run(pair: Pair) -> None:
    """The next run marks the submission as in doubt; then its callback settles it."""
    await pair.load(1)
    [claim] = await pair.run.fresh(after_id=0, limit=1)
    assert await pair.run.begin(claim, pair.run_id)
    await pair.take(ended(NAMED))
    for _ in range(20):
        pair.now[0] += 3_600
        assert await pair.beside.look_again() == 1
    assert (pair.effects, pair.states) == (["open"], ["sending"])
    made = decide(LOST, claim, policy=HOLD, proven=False, jitter=lambda most: most)
    await pair.run.settle(Settlement(claim, LOST, made), pair.run_id)
    pair.now[0] += 3_600
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.SETTLED
    assert pair.states == ["submitted"]


async def test_callback_of_a_submission_sent_again_waits_for_its_answer(pair: Pair) -> None:
    """The user has put it back in the queue and a run has begun it: its answer decides first."""
    await pair.load(1)
    await pair.send(LOST)
    await pair.take(ended(NAMED))
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    await pair.run.retry([State.IN_DOUBT])
    [claim] = await pair.run.fresh(after_id=0, limit=1)
    assert await pair.run.begin(claim, pair.run_id)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.CHECKED
    made = decide(ACCEPTED, claim, policy=HOLD, proven=False, jitter=lambda most: most)
    await pair.run.settle(Settlement(claim, ACCEPTED, made), pair.run_id)
    assert await pair.beside.polled(check, PollVerdict.CONFIRMED) is Effect.DOUBLE


async def test_callback_of_an_unknown_task_ends_as_stranger(pair: Pair) -> None:
    """A task of another program with the same AppId is polled a few times and then ignored."""
    await pair.load(1)
    await pair.send(ACCEPTED)
    await pair.take(ended("of another program", "1"))
    await pair.take(ended("of another program", None))
    for delay_s in (*LOOKS_AFTER_S, 0):
        assert pair.effects == ["open", "open"]
        assert await pair.beside.look_again() == 2
        pair.now[0] += delay_s
    assert pair.effects == ["stranger", "stranger"]
    assert await pair.beside.look_again() == 0


# -- recordings ----------------------------------------------------------------------------------------


async def test_callback_of_a_recording_becomes_a_submission(pair: Pair) -> None:
    """The next run sends it like a manifest's row; a second callback finds it known."""
    assert await pair.take(recorded(), row()) is Effect.ADDED
    assert await pair.take(recorded(), row()) is Effect.KNOWN
    [claim] = await pair.run.fresh(after_id=0, limit=10)
    assert (claim.file_id, claim.parameters) == ("7", AT_1_AND_2_S)
    [load] = await pair.run.loads()
    assert (load.source, load.new, load.duplicates, load.unfinished) == ("callbacks", 1, 1, False)
    [record] = await pair.run.records()
    assert (record.place, record.extra) == ("callbacks row 1", '{"stream_alias":"s"}')


async def test_recording_that_cannot_be_sent_is_an_invalid_row(pair: Pair) -> None:
    """It is on record with its reason, and never sent."""
    bad = InvalidRow(0, "file_id", "is no id", ("x",))
    assert await pair.take(recorded("x"), bad) is Effect.UNUSABLE
    [invalid] = await pair.run.invalid_rows()
    assert (invalid.place, invalid.reason) == ("callbacks row 1", "is no id")
    assert pair.states == []


async def test_other_callbacks_are_noted_without_effect(pair: Pair) -> None:
    """A recording without a row, a file that was not merged and a strange event are noted in their words."""
    failed = Composed(seal(), "1", Vendor.TENCENT, FileId("7"))
    for callback in (recorded(), failed, Other(seal(), "stream_close")):
        assert await pair.take(callback) is Effect.NOTED
    assert pair.ask("SELECT event, content FROM callbacks ORDER BY id") == [
        ("record", "what it said"),
        ("compose", "what it said"),
        ("stream_close", "what it said"),
    ]
    assert await pair.run.loads() == []


# -- how it is asked -----------------------------------------------------------------------------------


@pytest.mark.about_files
async def test_callbacks_scan_no_table(pair: Pair) -> None:
    """All rows of a callback are found by indexes: in a ledger of millions it takes no longer."""
    await pair.load(1, 2, 3)
    with statements_of() as statements:
        await _all_that_callbacks_lead_to(pair)
    assert len(statements) > 40
    plans = plans_of(pair.run.name, statements)
    few = ("USING INDEX callbacks_due", "USING INDEX tasks_claimed", "USING INDEX tasks_due", "json_each")
    scans = [step for step in plans if step.startswith("SCAN") and not step.endswith(few)]
    long = {"submissions", "s", "attempts", "a", "tasks", "t", "callbacks", "invalid_rows"}
    assert [step for step in scans if step.split()[1] in long] == []


async def _all_that_callbacks_lead_to(pair: Pair) -> None:
    await pair.send(LOST, RETRY)
    await pair.take(ended(NAMED))
    await pair.take(ended("of another program", None))
    await pair.send(ACCEPTED)
    await pair.take(ended(TASK, "2"))
    await pair.take(recorded(), row())
    await pair.beside.look_again()
    [check] = await pair.beside.to_check(10)
    await pair.beside.put_off(check, 0)
    await pair.beside.polled(check, PollVerdict.UNKNOWN)
    await pair.beside.polled(check, PollVerdict.CONFIRMED)
    await pair.beside.claimed_tasks.due(10**14, 10)
    await pair.beside.claimed_tasks.left()
