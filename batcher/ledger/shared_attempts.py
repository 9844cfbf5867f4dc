"""Attempts on a ledger that several runs share: claiming is beginning, and late answers are evidence.

Called by the writer inside its transaction. Nothing marks a pending submission: it is chosen, locked, moved
to ``sending`` and its attempt written in one transaction, so that a crash leaves no claim behind. An attempt
that another run has called in doubt may end after all. Its answer was paid for and is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from batcher.ledger.attempts import Begin, Settle, attempt_item, begin, settle
from batcher.ledger.conditions import IS_FRESH
from batcher.ledger.connection import Connection, ResultRow
from batcher.ledger.queries.open_work import CLAIM, claim_of
from batcher.ledger.shared_runs import NOW_MS, declare_lost
from batcher.ledger.tallies import Key, tally
from batcher.ledger.transactor import BatchEvent
from batcher.model.outcome import Answer, HttpRefusal, NotSent, Settlement
from batcher.model.submission import Claim, RunId, State, SubmissionId

TAKEN_AT_ONCE = 500
"""Attempts of lost runs that one transaction settles."""


class BeginNext(NamedTuple):
    """A worker that has a turn and wants the next submission."""

    run_id: RunId
    at_ms: int
    after_id: int
    """The last fresh submission that this run has begun: those before it need not be looked at."""
    doubtful: bool
    """Whether submissions whose answer was lost before may be sent again now."""
    among: frozenset[int] | None = None
    """Only one of these; None for any."""


class TakeOver(NamedTuple):
    """A look for attempts that no living run will settle."""

    run_id: RunId
    grace_ms: int | None
    """How long after its lease a run is waited for; None if no lease is judged."""
    judge: Callable[[Claim], Settlement]
    """Decides what becomes of a submission whose answer is lost."""


class LeftToShare(NamedTuple):
    """What is left to send on a ledger that several runs share."""

    fresh: bool
    """There are submissions that wait for nothing and were never in doubt."""
    next_due_ms: int | None
    """When the next one of those that wait is due, by the server's clock; doubtful ones apart."""
    doubtful: bool
    """There are submissions whose answer was lost before."""
    doubtful_due_ms: int | None
    """When the next one of these is due; None when one waits for nothing, or there is none."""
    elsewhere: int
    """Submissions that other runs are sending."""
    elsewhere_first: int
    """Of these, the ones whose answer was never lost before."""
    orphaned: int
    """Of these, the ones whose run has ended or is lost."""
    loading: bool
    """A run reads a manifest."""
    now_ms: int


_SKIP = "FOR UPDATE OF s SKIP LOCKED"

_DUE = f"""{CLAIM}
WHERE s.not_before_ms IS NOT NULL AND s.tries_doubt = 0
    AND (s.not_before_ms <= {NOW_MS} OR s.not_before_ms > {NOW_MS} + :longest_ms)
ORDER BY s.not_before_ms LIMIT :limit {_SKIP}
"""

_FRESH = f"""{CLAIM}
WHERE s.state = 'pending' AND s.tries_doubt = 0 AND s.not_before_ms IS NULL AND s.id > :after_id
ORDER BY s.id LIMIT :limit {_SKIP}
"""

_DOUBTFUL = f"""{CLAIM}
WHERE s.state = 'pending' AND s.tries_doubt > 0
    AND (s.not_before_ms IS NULL OR s.not_before_ms <= {NOW_MS} OR s.not_before_ms > {NOW_MS} + :longest_ms)
ORDER BY s.tries_doubt, s.id LIMIT :limit {_SKIP}
"""

_AMONG = f"""{CLAIM}
WHERE s.state = 'pending' AND s.id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
    AND (s.not_before_ms IS NULL OR s.not_before_ms <= {NOW_MS} OR s.not_before_ms > {NOW_MS} + :longest_ms)
ORDER BY s.id LIMIT :limit {_SKIP}
"""  # noqa: S608 - ours

_STILL_OPEN = """
SELECT id FROM submissions
WHERE state = 'pending' AND id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
"""

_ORPHANS = f"""{CLAIM}
JOIN attempts AS a ON a.submission_id = s.id AND a.number = s.attempts JOIN runs AS r ON r.id = a.run_id
WHERE s.state = 'sending' AND a.outcome IS NULL AND r.ended_at_ms IS NOT NULL
ORDER BY s.id LIMIT :limit {_SKIP}
"""

_LEFT = f"""
SELECT EXISTS (SELECT 1 FROM submissions WHERE {IS_FRESH}) AS fresh,
    (SELECT min(not_before_ms) FROM submissions WHERE not_before_ms IS NOT NULL AND tries_doubt = 0)
        AS next_due_ms,
    doubts.n > 0 AS doubtful, CASE WHEN doubts.waiting = doubts.n THEN doubts.due_ms END AS doubtful_due_ms,
    others.n AS elsewhere, others.first AS elsewhere_first, others.orphaned,
    EXISTS (SELECT 1 FROM loads AS l JOIN runs AS r ON r.id = l.run_id
        WHERE l.ended_at_ms IS NULL AND l.error IS NULL AND r.ended_at_ms IS NULL) AS loading,
    {NOW_MS} AS now_ms
FROM (SELECT count(*) AS n, count(not_before_ms) AS waiting, min(not_before_ms) AS due_ms
    FROM submissions WHERE state = 'pending' AND tries_doubt > 0) AS doubts,
(SELECT count(*) AS n, count(CASE WHEN s.tries_doubt = 0 THEN 1 END) AS first,
    count(CASE WHEN r.ended_at_ms IS NOT NULL OR r.leased_until_ms < {NOW_MS} THEN 1 END) AS orphaned
    FROM submissions AS s JOIN attempts AS a ON a.submission_id = s.id AND a.number = s.attempts
    JOIN runs AS r ON r.id = a.run_id WHERE s.state = 'sending' AND a.run_id <> :run_id) AS others
"""  # noqa: S608 - ours

LONGEST_DELAY_MS = 3_600_000
"""A due time further away than this was set by a clock that was wrong, and delays nothing."""

_FACTS = """
SELECT s.id, s.state, s.code, s.run_id, s.attempts, s.tries_doubt, s.pruned
FROM submissions AS s WHERE s.id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(:ids))
ORDER BY s.id FOR UPDATE
"""

_ATTEMPT = "SELECT outcome, decision FROM attempts WHERE submission_id = :id AND number = :number"

_END_ATTEMPT = """
UPDATE attempts SET sent_at_ms = :sent_at_ms, answered_at_ms = :answered_at_ms, outcome = :outcome,
    decision = :decision, http_status = :http_status, code = :code, task_id = :task_id,
    request_id = :request_id, vendor_request_id = :vendor_request_id, message = :message
WHERE submission_id = :id AND number = :number AND decision = 'in_doubt'
"""

_DOUBTS = "SELECT count(*) FROM attempts WHERE submission_id = :id AND decision = 'in_doubt'"

_SUBMIT = """
UPDATE submissions SET state = 'submitted', code = :code, run_id = :run_id, doubted = :doubted,
    not_before_ms = NULL WHERE id = :id
"""

_TAKE_DOUBT_OFF = """
UPDATE submissions SET state = :state, doubted = :doubted, tries_doubt = CASE WHEN tries_doubt > 0
    THEN tries_doubt - 1 ELSE 0 END WHERE id = :id
"""


@BatchEvent
def begin_next(connection: Connection, items: Sequence[BeginNext]) -> list[Claim | None]:
    """Begin attempts of the next submissions that no other run has: one for each worker, as far as there are.

    Those that are due come first, then fresh ones, then those that would hold up others, doubtful ones last.
    """
    found: dict[int, Claim | None] = dict.fromkeys(range(len(items)))
    kinds = {(item.doubtful, item.among) for item in items}
    for doubtful, among in sorted(kinds, key=lambda kind: (kind[0], kind[1] is None)):
        places = [at for at, item in enumerate(items) if (item.doubtful, item.among) == (doubtful, among)]
        if among is None:
            after_id = min(items[at].after_id for at in places)
            claims = _next(connection, len(places), after_id, doubtful=doubtful)
        else:
            claims = _claims(connection, _AMONG, len(places), ids=sorted(among))
        begun = dict(zip(places, claims, strict=False))
        if begun:
            begin.record(connection, [_begin_of(items[at], claim) for at, claim in begun.items()])
        found.update(begun)
    return list(found.values())


def _begin_of(item: BeginNext, claim: Claim) -> Begin:
    return Begin(claim, item.run_id, item.at_ms)


def _next(connection: Connection, wanted: int, after_id: int, *, doubtful: bool) -> list[Claim]:
    """Return the next submissions: due ones, fresh ones, those that hold up others, doubtful ones."""
    due = _claims(connection, _DUE, wanted)
    claims = [claim for claim in due if not claim.tries.refused]
    if len(claims) < wanted:
        claims += _claims(connection, _FRESH, wanted - len(claims), after_id=after_id)
    claims += [claim for claim in due if claim.tries.refused][: wanted - len(claims)]
    if len(claims) < wanted and doubtful:
        claims += _claims(connection, _DOUBTFUL, wanted - len(claims))
    return claims


def _claims(connection: Connection, query: str, limit: int, **values: object) -> list[Claim]:
    """Return the submissions that a query finds and locks, in its order."""
    if query is not _FRESH:
        values["longest_ms"] = LONGEST_DELAY_MS
    return list(map(claim_of, connection.rows(query, limit=limit, **values)))


@BatchEvent
def settle_shared(connection: Connection, items: Sequence[Settle]) -> list[None]:
    """Settle attempts of this run; those that another run has called in doubt meanwhile are evidence."""
    by_id = {item.settlement.claim.id: item for item in items}
    facts = {row.id: row for row in connection.rows(_FACTS, ids=sorted(by_id))}
    in_time = [item for item in items if _is_in_time(connection, facts[item.settlement.claim.id], item)]
    if in_time:
        settle.record(connection, in_time)
    for item in items:
        if item not in in_time:
            _keep_evidence(connection, facts[item.settlement.claim.id], item)
    return [None] * len(items)


def take_over(connection: Connection, item: TakeOver) -> int:
    """Settle the attempts that no living run will settle as in doubt; returns how many."""
    declare_lost(connection, item.run_id, item.grace_ms)
    claims = [claim_of(row, begun=True) for row in connection.rows(_ORPHANS, limit=TAKEN_AT_ONCE)]
    if claims:
        settle.record(connection, [Settle(item.judge(claim), item.run_id, None) for claim in claims])
    return len(claims)


def still_open(connection: Connection, ids: Collection[SubmissionId]) -> set[SubmissionId]:
    """Return those of some submissions that wait to be sent."""
    return {SubmissionId(row.id) for row in connection.rows(_STILL_OPEN, ids=sorted(ids))}


def left_to_share(connection: Connection, run_id: RunId) -> LeftToShare:
    """Return what is left to send, for a run that has found nothing to begin."""
    [row] = connection.rows(_LEFT, run_id=run_id)
    return LeftToShare._make(row)


def _is_in_time(connection: Connection, submission: ResultRow, item: Settle) -> bool:
    number = item.settlement.claim.number
    if submission.state != State.SENDING or submission.attempts != number:
        return False
    attempt = connection.row(_ATTEMPT, id=submission.id, number=number)
    return attempt is not None and attempt.outcome is None


def _keep_evidence(connection: Connection, before: ResultRow, item: Settle) -> None:
    """Keep how an attempt ended that was called in doubt; it may settle its submission, or end its doubt."""
    outcome, disposition = item.settlement.outcome, item.settlement.disposition
    is_definite = isinstance(outcome, Answer | HttpRefusal | NotSent)
    row = attempt_item(item)
    if not is_definite or not connection.run(_END_ATTEMPT, **row):
        return
    waits = before.state in (State.PENDING, State.IN_DOUBT)
    doubted = bool(before.pruned or connection.value(_DOUBTS, id=before.id))
    changes: Counter[Key] = Counter()
    if disposition.state is State.SUBMITTED:
        if waits:
            connection.run(_SUBMIT, id=before.id, code=disposition.code, run_id=item.run_id, doubted=doubted)
            changes[State(before.state), before.code, before.run_id] -= 1
            changes[State.SUBMITTED, disposition.code, item.run_id] += 1
    elif waits and not doubted:
        connection.run(_TAKE_DOUBT_OFF, id=before.id, state=State.PENDING, doubted=False)
        changes[State(before.state), before.code, before.run_id] -= 1
        changes[State.PENDING, before.code, before.run_id] += 1
    tally(connection, changes)
