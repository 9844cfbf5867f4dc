"""The ledger of a run: its records, its refusals, and numbers that always agree with the rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from support.ledger_sql import broken_constraint, writing
from support.specimens import ACCEPTED, AT_1_AND_2_S, EVERY_2_S, TASK, claims_of, next_claim, rows_of

from batcher.errors import BindingError, IllegalMove, LedgerBusy, LedgerError, LedgerTooNew
from batcher.flowcontrol.retry_policy import decide
from batcher.ledger.conditions import NO_CODE, NO_RUN
from batcher.ledger.loads import Added
from batcher.ledger.reader import open_for_reading
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import (
    Answer,
    Decision,
    Disposition,
    HttpRefusal,
    NotSent,
    Outcome,
    ReplyLost,
    Settlement,
)
from batcher.model.submission import (
    MOVES,
    Claim,
    EndpointKind,
    InDoubtPolicy,
    InvalidRow,
    LoadId,
    RunId,
    State,
    Tries,
)

RETRY, HOLD = InDoubtPolicy.RETRY, InDoubtPolicy.HOLD
LOST = ReplyLost("no answer came")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[RunLedger]:
    """A new ledger; at the end its tallies must agree with its rows."""
    async with await open_for_writing(tmp_path / "l.db") as opened:
        assert isinstance(opened, RunLedger)
        yield opened
        check_tallies(opened.name)


def query(path: LedgerName, sql: str) -> list[tuple[object, ...]]:
    """Read from the ledger as another program does."""
    with writing(path) as connection:
        return list(connection.execute(sql))


def check_tallies(path: LedgerName) -> None:
    """Check that the tallies equal the counted submissions."""
    counted = query(
        path,
        f"SELECT state, coalesce(code, {NO_CODE}), coalesce(run_id, {NO_RUN}), "  # noqa: S608
        "code IS NOT NULL, count(*) FROM submissions GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    )
    assert counted == query(path, "SELECT * FROM tallies WHERE n > 0 ORDER BY 1, 2, 3, 4")


async def loaded(ledger: RunLedger, *numbers: int, source: str = "archive.csv") -> LoadId:
    """A finished load of one row for each number."""
    load_id = await ledger.start_load(source, f"/data/{source}", ["file_id"])
    await ledger.add(load_id, source, rows_of(*numbers), [])
    await ledger.end_load(load_id)
    return load_id


async def begun(ledger: RunLedger, run_id: RunId) -> Claim:
    """The first open submission, begun."""
    claim = (await ledger.fresh(after_id=0, limit=1))[0]
    assert await ledger.begin(claim, run_id)
    return claim


async def settled(
    ledger: RunLedger, claim: Claim, run_id: RunId, outcome: Outcome, policy: InDoubtPolicy = RETRY
) -> Disposition:
    """Judge an outcome and record it."""
    made = decide(outcome, claim, policy=policy, proven=True, jitter=lambda bound: bound)
    await ledger.settle(Settlement(claim, outcome, made), run_id)
    return made


async def counts(ledger: RunLedger) -> dict[State, int]:
    """Submissions by state; states without any are left out."""
    found: dict[State, int] = {}
    for tally in await ledger.tallies():
        found[tally.state] = found.get(tally.state, 0) + tally.n
    return found


OUTCOMES: list[tuple[Outcome, InDoubtPolicy, State]] = [
    (ACCEPTED, RETRY, State.SUBMITTED),
    (Answer(0), RETRY, State.IN_DOUBT),
    (Answer(2, "bad", "outer"), RETRY, State.REJECTED),
    (Answer(1), RETRY, State.PENDING),
    (Answer(3), RETRY, State.PENDING),
    (Answer(6), RETRY, State.PENDING),
    (Answer(7), RETRY, State.PENDING),
    (Answer(1000), RETRY, State.PENDING),
    (HttpRefusal(404), RETRY, State.PENDING),
    (HttpRefusal(429, 3.0), RETRY, State.PENDING),
    (LOST, RETRY, State.PENDING),
    (ReplyLost("no Code", 500), HOLD, State.IN_DOUBT),
    (NotSent("refused"), RETRY, State.PENDING),
]


@pytest.mark.parametrize(("outcome", "policy", "state"), OUTCOMES)
async def test_every_outcome_can_be_recorded(
    ledger: RunLedger, outcome: Outcome, policy: InDoubtPolicy, state: State
) -> None:
    """Each kind of outcome moves its submission and is kept in full with its attempt."""
    await loaded(ledger, 1, 2)
    run_id = await ledger.start_run(20.0, "test")
    claim = await begun(ledger, run_id)
    assert await counts(ledger) == {State.PENDING: 1, State.SENDING: 1}
    made = await settled(ledger, claim, run_id, outcome, policy)
    (record,) = await ledger.records_of([claim.file_id])
    (attempt,) = record.attempts
    assert (state, made.code, made.doubted) == (record.state, record.code, record.doubted)
    assert (1, run_id, made.decision.value) == (attempt.number, attempt.run_id, attempt.decision)
    assert (record.not_before is not None) == (state is State.PENDING)
    if isinstance(outcome, Answer):
        assert (outcome.code, outcome.message, outcome.task_id) == (
            attempt.code,
            attempt.message,
            attempt.task_id,
        )
        assert (outcome.request_id, outcome.vendor_request_id) == (
            attempt.request_id,
            attempt.vendor_request_id,
        )
    else:
        assert (None, outcome.detail) == (attempt.code, attempt.message)


async def test_next_claim_has_the_used_budgets(ledger: RunLedger) -> None:
    """A submission that goes back in the queue has its number, tries, doubt, code and run."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    claim = await begun(ledger, run_id)
    made = await settled(ledger, claim, run_id, Answer(1))
    ((_, waiting),) = await ledger.delayed()
    assert next_claim(claim, made, run_id) == waiting
    assert await ledger.begin(waiting, run_id)
    assert [waiting] == await ledger.sending()
    made = await settled(ledger, waiting, run_id, LOST)
    assert await ledger.delayed() == []
    ((not_before, doubtful),) = await ledger.doubtful(after=(0, 0), limit=10)
    assert not_before is not None
    assert next_claim(waiting, made, run_id) == doubtful
    assert (3, Tries(busy=1, doubt=1), True, 1) == (
        doubtful.number,
        doubtful.tries,
        doubtful.doubted,
        doubtful.code,
    )


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
async def test_only_an_open_submission_is_begun(ledger: RunLedger, state: State) -> None:
    """Beginning a submission that is no longer pending returns False and records nothing."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    claim = await begun(ledger, run_id)
    if state is not State.SENDING:
        made = Disposition(Decision.SUBMITTED, state, Tries(), code=0)
        await ledger.settle(Settlement(claim, ACCEPTED, made), run_id)
    assert not await ledger.begin(claim._replace(number=2, run_id=run_id, code=0), run_id)
    assert query(ledger.name, "SELECT number FROM attempts") == [(1,)]
    assert await counts(ledger) == {state: 1}


@pytest.mark.parametrize("state", [state for state in State if state is not State.SENDING])
async def test_only_an_attempt_in_flight_is_settled(
    ledger: RunLedger, state: State, ledger_kind: str
) -> None:
    """Settling any other submission changes nothing; it is refused where no other run can have settled it."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    claim = (await ledger.fresh(after_id=0, limit=1))[0]
    if state is not State.PENDING:
        assert await ledger.begin(claim, run_id)
        first = Disposition(Decision.REJECTED, state, Tries(), code=2)
        await ledger.settle(Settlement(claim, Answer(2), first), run_id)
    before = [query(ledger.name, f"SELECT * FROM {name}") for name in ("submissions", "attempts")]  # noqa: S608
    second = Disposition(Decision.SUBMITTED, State.SUBMITTED, Tries(), code=0)
    with pytest.raises(LedgerError) if ledger_kind == "sqlite" else contextlib.nullcontext():
        await ledger.settle(Settlement(claim, ACCEPTED, second), run_id)
    after = [query(ledger.name, f"SELECT * FROM {name}") for name in ("submissions", "attempts")]  # noqa: S608
    assert before == after


async def test_illegal_state_is_refused(ledger: RunLedger) -> None:
    """No attempt ends with its submission still being sent."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    claim = await begun(ledger, run_id)
    assert State.SENDING not in MOVES[State.SENDING]
    made = Disposition(Decision.AGAIN, State.SENDING, Tries())
    with pytest.raises(IllegalMove, match="sending to sending"):
        await ledger.settle(Settlement(claim, NotSent("x"), made), run_id)
    assert await counts(ledger) == {State.SENDING: 1}
    await settled(ledger, claim, run_id, ACCEPTED)
    assert await counts(ledger) == {State.SUBMITTED: 1}


async def test_claim_begun_twice_concurrently_begins_once(ledger: RunLedger) -> None:
    """Two concurrent begins of the same submission make one attempt."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    (claim,) = await ledger.fresh(after_id=0, limit=1)
    assert sorted(await asyncio.gather(*(ledger.begin(claim, run_id) for _ in range(3)))) == [
        False,
        False,
        True,
    ]


async def test_outdated_claim_leaves_the_tallies_right(tmp_path: Path) -> None:
    """A claim with another code than the ledger's is refused, or leaves the tallies right."""
    async with await open_for_writing(tmp_path / "l.db") as ledger:
        assert isinstance(ledger, RunLedger)
        await loaded(ledger, 1)
        run_id = await ledger.start_run(20.0, "test")
        (claim,) = await ledger.fresh(after_id=0, limit=1)
        with contextlib.suppress(LedgerError):
            await ledger.begin(claim._replace(code=1000), run_id)
    check_tallies(tmp_path / "l.db")


async def in_every_state(ledger: RunLedger) -> RunId:
    """Submissions 1 to 7: submitted, rejected with 2 and 41003, failed with 1, in doubt, pending, sending."""
    await loaded(ledger, *range(1, 8))
    run_id = await ledger.start_run(20.0, "test")
    claims = await ledger.fresh(after_id=0, limit=10)
    endings: list[tuple[State, Outcome, int | None]] = [
        (State.SUBMITTED, ACCEPTED, 0),
        (State.REJECTED, Answer(2), 2),
        (State.REJECTED, Answer(41003), 41003),
        (State.FAILED, Answer(1), 1),
        (State.IN_DOUBT, LOST, None),
    ]
    for claim, (state, outcome, code) in zip(claims, endings, strict=False):
        assert await ledger.begin(claim, run_id)
        decision = Decision.SUBMITTED if state is State.SUBMITTED else Decision.AGAIN
        doubted = state is State.IN_DOUBT
        made = Disposition(decision, state, Tries(5, 3, 5), doubted=doubted, code=code)
        await ledger.settle(Settlement(claim, outcome, made), run_id)
    assert await ledger.begin(claims[6], run_id)
    return run_id


@pytest.mark.parametrize(
    ("states", "codes", "moved"),
    [
        ([State.FAILED, State.REJECTED], [], {2, 3, 4}),
        ([State.FAILED], [], {4}),
        ([State.REJECTED], [41003], {3}),
        ([State.REJECTED, State.FAILED], [1, 2], {2, 4}),
        ([State.IN_DOUBT], [], {5}),
        ([State.IN_DOUBT], [2], set()),
        ([State.SUBMITTED], [], set()),
        ([State.SENDING], [], set()),
        ([State.PENDING], [], set()),
        ([], [], set()),
    ],
)
async def test_retry_puts_back_the_named_submissions(
    ledger: RunLedger, states: list[State], codes: list[int], moved: set[int]
) -> None:
    """Only settled submissions of these states and codes, and none with a task id."""
    await in_every_state(ledger)
    before = {claim.id for claim in await ledger.fresh(after_id=0, limit=10)}
    assert len(moved) == await ledger.retry(states, codes)
    claims = await ledger.fresh(after_id=0, limit=10)
    assert moved == {int(claim.id) for claim in claims} - before
    assert {Tries()} == {claim.tries for claim in claims}
    check_tallies(ledger.name)


async def test_retry_resets_the_budgets_only(ledger: RunLedger) -> None:
    """A submission keeps its attempts, its last code, and whether it may have arrived."""
    run_id = await in_every_state(ledger)
    await ledger.retry([State.IN_DOUBT, State.FAILED])
    failed, doubted, _ = await ledger.fresh(after_id=0, limit=10)
    assert (2, 1, False, run_id) == (failed.number, failed.code, failed.doubted, failed.run_id)
    assert (doubted.number, doubted.code, doubted.doubted) == (2, None, True)


async def test_hold_takes_doubtful_submissions_out_of_the_queue(ledger: RunLedger) -> None:
    """A change of policy to hold moves open submissions with a doubt, and only those."""
    await loaded(ledger, 1, 2, 3)
    run_id = await ledger.start_run(20.0, "test")
    await settled(ledger, await begun(ledger, run_id), run_id, LOST)
    await settled(ledger, await begun(ledger, run_id), run_id, Answer(1))
    holding = await ledger.start_run(20.0, "test")
    assert await ledger.hold_doubtful(holding) == 1
    assert await counts(ledger) == {State.IN_DOUBT: 1, State.PENDING: 2}
    assert await ledger.doubtful(after=(0, 0), limit=10) == []
    assert await ledger.hold_doubtful(holding) == 0


async def test_known_row_changes_nothing(ledger: RunLedger) -> None:
    """The same recording under the same parameters is one submission, within a load and between loads."""
    run_id = await ledger.start_run(20.0, "test")
    first = await ledger.start_load("a.csv", "/data/a.csv", ["file_id"])
    assert Added(2, 1, 0) == await ledger.add(first, "a.csv", rows_of(1, 2, 1), [])
    await settled(ledger, await begun(ledger, run_id), run_id, ACCEPTED)
    second = await ledger.start_load("b.csv", "/data/b.csv", ["file_id"])
    assert Added(1, 2, 0) == await ledger.add(second, "b.csv", rows_of(1, 2, 3, extra='{"x":"y"}'), [])
    assert Added(1, 0, 0) == await ledger.add(second, "b.csv", rows_of(1, asked=EVERY_2_S), [])
    records = await ledger.records()
    assert [(record.file_id, record.source) for record in records] == [
        ("1", "a.csv"),
        ("2", "a.csv"),
        ("3", "b.csv"),
        ("1", "b.csv"),
    ]
    assert [record.extra for record in records] == [None, None, '{"x":"y"}', None]
    assert records[0].task_id == TASK
    ids = [record.file_id for record in records]
    assert {AT_1_AND_2_S, EVERY_2_S} == (await ledger.asked_before(ids))[ids[0]]


async def test_load_counts_its_rows_and_whether_it_ended(ledger: RunLedger) -> None:
    """A load is unfinished until it, or a later one of the file, reaches the end."""
    bad = InvalidRow(9, "file_id", "is missing", ("",))
    one = await ledger.start_load("a.csv", "/data/a.csv", ["file_id", "title"])
    await ledger.add(one, "a.csv", rows_of(1, 2), [bad])
    await ledger.add(one, "a.csv", rows_of(2, 3), [])
    two = await ledger.start_load("b.csv", "/data/b.csv", ["file_id"])
    await ledger.end_load(two, "b.csv line 7: cut off")
    first, second = await ledger.loads()
    assert (first.rows, first.new, first.duplicates, first.invalid) == (5, 3, 1, 1)
    assert first.columns == ("file_id", "title")
    assert (
        first.unfinished,
        first.error,
        second.unfinished,
        second.error,
    ) == (True, None, True, "b.csv line 7: cut off")
    await loaded(ledger, 1, source="a.csv")
    await loaded(ledger, 1, source="c.csv")
    assert [load.unfinished for load in await ledger.loads()] == [False, True, False, False]
    assert [load.superseded for load in await ledger.loads()] == [True, False, False, False]


async def test_invalid_row_is_kept_once(ledger: RunLedger) -> None:
    """Rows that cannot be sent are the same if file name, content and reason agree, on any line."""
    row = InvalidRow(2, "file_id", "is missing", ("", "a"))
    same = [row, row._replace(line=7), row._replace(column="FileId")]
    other = [
        row._replace(reason="is longer than 1,024 bytes"),
        row._replace(cells=("", "b")),
        row._replace(cells=("a", "")),
    ]
    for source in ("mon/a.csv", "tue/a.csv"):
        load_id = await ledger.start_load(source, f"/data/{source}", [])
        assert Added(0, 0, 6) == await ledger.add(load_id, source, [], [*same, *other])
    kept = await ledger.invalid_rows()
    assert [(one.source, one.line) for one in kept] == [("mon/a.csv", 2)] * 4
    load_id = await ledger.start_load("b.csv", "/data/b.csv", [])
    await ledger.add(load_id, "b.csv", [], same)
    assert (
        await ledger.count_invalid_rows(),
        await ledger.count_invalid_rows(after_id=kept[-1].id),
    ) == (5, 1)


@pytest.mark.parametrize(
    ("exit_code", "reported"), [(0, True), (1, True), (3, False), (4, False), (130, False)]
)
async def test_run_with_exit_code_0_or_1_has_reported_invalid_rows(
    ledger: RunLedger, exit_code: int, reported: bool
) -> None:
    """Only after exit code 0 or 1 the invalid rows count as reported."""
    load_id = await ledger.start_load("a.csv", "/data/a.csv", [])
    await ledger.add(load_id, "a.csv", [], [InvalidRow(2, "file_id", "is missing", ("",))])
    run_id = await ledger.start_run(20.0, "1.2.3")
    running = await ledger.last_run()
    assert running is not None
    assert (running.ended_at, running.exit_code, running.version) == (None, None, "1.2.3")
    await ledger.end_run(run_id, exit_code, "because")
    last, reporting = await ledger.last_run(), await ledger.last_reported_run()
    assert last is not None
    assert (exit_code, "because") == (last.exit_code, last.reason)
    assert reported == (
        reporting is not None and reporting.invalid_rows_seen == await ledger.newest_invalid_row()
    )


async def test_ledger_is_bound_by_the_first_answer_that_proves_the_account(ledger: RunLedger) -> None:
    """Only such an answer binds it; then another AppId or another kind of endpoint is refused."""
    await loaded(ledger, *range(1, 9))
    run = await ledger.start_run(20.0, "test")
    await ledger.bind(54321, EndpointKind.ZEGO)
    refusals: list[Outcome] = [Answer(code) for code in (100000001, 100000005, 3, 5, 7, 6)]
    for outcome in [*refusals, LOST]:
        await settled(ledger, await begun(ledger, run), run, outcome)
        assert await ledger.bound_to() is None
    await ledger.bind(12345, EndpointKind.OTHER)
    await settled(ledger, await begun(ledger, run), run, Answer(41003))
    assert await ledger.bound_to() == (12345, EndpointKind.OTHER)
    await ledger.bind(12345, EndpointKind.OTHER)
    with pytest.raises(BindingError, match=r"belongs to AppId 12345; the AppId in use .* is 54321"):
        await ledger.bind(54321, EndpointKind.OTHER)
    with pytest.raises(BindingError, match="rehearsed submissions must not count as real ones"):
        await ledger.bind(12345, EndpointKind.ZEGO)
    assert await ledger.bound_to() == (12345, EndpointKind.OTHER)


@pytest.mark.about_files
async def test_second_writer_is_refused_and_a_reader_is_not(ledger: RunLedger) -> None:
    """While one process holds the ledger no other one can write it, and all can read it."""
    await loaded(ledger, 1)
    with pytest.raises(LedgerBusy, match="another run holds this ledger"):
        await open_for_writing(ledger.name)
    async with await open_for_reading(ledger.name) as reader:
        assert [claims_of(1)[0]] == await reader.fresh(after_id=0, limit=10)


async def test_ledger_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A schema that this program does not know is neither read nor written."""
    path = tmp_path / "l.db"
    async with await open_for_writing(path):
        pass
    with writing(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(LedgerTooNew, match="upgrade batcher"):
            await opening(path)


async def test_records_survive_a_second_opening(tmp_path: Path) -> None:
    """A ledger opened again holds the same, with times as they were recorded."""
    path, sent_at = tmp_path / "l.db", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    async with await open_for_writing(path) as ledger:
        assert isinstance(ledger, RunLedger)
        await loaded(ledger, 1)
        run_id = await ledger.start_run(20.0, "test")
        claim = await begun(ledger, run_id)
        made = decide(ACCEPTED, claim, policy=RETRY, proven=True, jitter=lambda bound: bound)
        await ledger.settle(Settlement(claim, ACCEPTED, made, sent_at, sent_at), run_id)
    async with await open_for_writing(path) as again:
        (record,) = await again.records()
        assert (TASK, sent_at) == (record.task_id, record.attempts[0].sent_at)
    check_tallies(path)


async def test_odd_texts_of_an_answer_can_be_recorded(ledger: RunLedger) -> None:
    """Any text of an answer is kept unchanged; the reader has removed NUL."""
    await loaded(ledger, 1)
    run_id = await ledger.start_run(20.0, "test")
    claim = await begun(ledger, run_id)
    await settled(ledger, claim, run_id, Answer(-(2**63), "图\n'\"😀" * 1000, "r" * 1000))
    (record,) = await ledger.records()
    assert record.attempts[0].message == "图\n'\"😀" * 1000


BAD_SQL = [
    "UPDATE submissions SET state = 'sent'",
    "UPDATE submissions SET file_id = ''",
    "UPDATE submissions SET not_before_ms = 1, state = 'failed'",
    "UPDATE submissions SET parameters_id = 99",
    "INSERT INTO submissions (file_id, parameters_id, load_id, line) VALUES ('1', 1, 1, 9)",
    "INSERT INTO binding (id, app_id, place) VALUES (2, 1, 'zego')",
    "INSERT INTO binding (id, app_id, place) VALUES (1, 1, 'moon')",
    "UPDATE loads SET rows = rows + 1",
    "UPDATE parameters SET vendor = 'Ws'",
    "UPDATE parameters SET type = 'Sample'",
    "UPDATE tallies SET n = -1",
    "INSERT INTO attempts (submission_id, number, run_id, begun_at_ms) VALUES (1, 1, 99, 0)",
    "INSERT INTO attempts (submission_id, number, run_id, begun_at_ms) VALUES (99, 1, 1, 0)",
    *(
        "INSERT INTO attempts "  # noqa: S608 - all of it stands here
        "(submission_id, number, run_id, begun_at_ms, outcome, decision, task_id) "
        f"VALUES (1, 1, 1, 0, {outcome}, {decision}, {task_id})"
        for outcome, decision, task_id in [
            ("'answer'", "NULL", "NULL"),
            ("NULL", "'again'", "NULL"),
            ("'answer'", "'submitted'", "NULL"),
            ("'answer'", "'again'", "'t'"),
            ("'shrug'", "'again'", "NULL"),
            ("'answer'", "'shrug'", "NULL"),
        ]
    ),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with one submission and one run, closed."""
    path = tmp_path_factory.mktemp("small") / "l.db"

    async def fill() -> None:
        async with await open_for_writing(path) as ledger:
            assert isinstance(ledger, RunLedger)
            await loaded(ledger, 1)
            await ledger.start_run(20.0, "test")

    asyncio.run(fill())
    return path


@pytest.mark.parametrize("sql", BAD_SQL)
def test_contradictory_rows_break_a_constraint(small: Path, sql: str) -> None:
    """A statement by hand cannot write them either."""
    with writing(small, checked=True) as connection:
        with pytest.raises(broken_constraint()):
            connection.execute(sql)
        connection.rollback()


def test_legal_moves_are_those_documented() -> None:
    """A submission with a task id never moves again, and one in flight was pending before."""
    assert MOVES[State.SUBMITTED] == frozenset()
    into_sending = {a for a, b in product(State, State) if b is State.SENDING and b in MOVES[a]}
    assert into_sending == {State.PENDING}
    assert set(MOVES) == set(State)
