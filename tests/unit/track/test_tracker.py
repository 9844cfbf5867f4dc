"""What one poll means, when the next is due, and what the tracker does about the service as a whole."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

import pytest
from support.virtual_time import now_s, passed_s, run_virtually

from batcher.exit_codes import ExitCode
from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.events import Event
from batcher.model.outcome import Answer, HttpRefusal, NotReported, NotSent, ReplyLost
from batcher.model.submission import FileId, ReplyShape, SubmissionId, TaskId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.track.poll_policy import (
    BELIEVED_AFTER_S,
    BELIEVED_ALONE_AFTER_S,
    GIVE_UP_S,
    LONGEST_WAIT_S,
    Missed,
    is_miss,
    judge,
    wait_s,
)
from batcher.track.tracker import Tracked, Tracker, TrackSettings
from batcher.zego.client import Wire

SUBMITTED_MS = 1_700_000_000_000
FINISHED = TaskReport(TaskState.FINISHED, "FINISH", pictures=(Picture("http://a/1.jpg"),))
FAILED = TaskReport(TaskState.FAILED, "FAIL", "decoding failed")
PROCESSING = TaskReport(TaskState.PROCESSING, "PROCESSING")
NO_TASK = TaskReport(TaskState.UNKNOWN, "NO_TASK")
STRANGE = TaskReport(TaskState.UNKNOWN, "PAUSED")

Outcome = TaskReport | NotReported


def task(id_: int = 1, *, polls: int = 0, claimed_at_ms: int | None = None) -> Followed:
    """A task that is followed."""
    return Followed(
        SubmissionId(id_),
        SUBMITTED_MS + 2000,
        TaskId(f"task-{id_}"),
        FileId(f"{id_}"),
        Vendor.HUAWEI,
        None,
        SUBMITTED_MS,
        polls,
        claimed_at_ms,
    )


def judged(outcome: Outcome, age_s: float, *, missed: int = 0, others: bool = True) -> Polled:
    """A poll's result, so long after the submission, with so many misses in a row."""
    return judge(
        outcome,
        task(),
        now_ms=SUBMITTED_MS + int(age_s * 1000),
        give_up_s=GIVE_UP_S,
        missed=Missed(missed, 0),
        reports=int(others),
        jitter=lambda most: most / 2,
    )


def waits(*, claimed_ago_s: float | None = None, times: int) -> list[float]:
    """How long a task waits after each poll, without chance."""
    now_ms = SUBMITTED_MS + 10_000_000
    claimed = None if claimed_ago_s is None else now_ms - int(claimed_ago_s * 1000)
    return [
        round(wait_s(task(polls=n, claimed_at_ms=claimed), now_ms, lambda most: most / 2), 2)
        for n in range(times)
    ]


def test_waits_grow_by_half_up_to_ten_minutes() -> None:
    """A task is asked about ever less often."""
    assert waits(times=4) == [2.0, 3.0, 4.5, 6.75]
    assert waits(times=40)[-3:] == [600.0] * 3
    assert wait_s(task(polls=10**6), SUBMITTED_MS, lambda most: most) == pytest.approx(LONGEST_WAIT_S * 1.1)


def test_waits_are_spread() -> None:
    """By chance a wait is up to a tenth shorter or longer."""
    chance = Random(1)
    drawn = [wait_s(task(), SUBMITTED_MS, lambda most: chance.uniform(0, most)) for _ in range(200)]
    assert 1.8 <= min(drawn) < 1.85
    assert 2.15 < max(drawn) <= 2.2


def test_what_a_callback_has_claimed_is_asked_again_soon() -> None:
    """However long the task has been followed, the wait is at most half of the time since the claim."""
    assert waits(claimed_ago_s=1, times=12) == [2.0] * 12
    assert waits(claimed_ago_s=40, times=12)[-1:] == [20.0]


@pytest.mark.parametrize(("report", "state"), [(FINISHED, TaskState.FINISHED), (FAILED, TaskState.FAILED)])
def test_an_end_closes_the_task(report: TaskReport, state: TaskState) -> None:
    """What the vendor calls an end is one at once, with its word, message and pictures."""
    polled = judged(report, 3)
    assert (polled.state, polled.due_at_ms) == (state, None)
    assert (polled.status, polled.message, polled.pictures) == (
        report.status,
        report.message,
        report.pictures,
    )


def test_what_has_not_ended_is_due_again() -> None:
    """A task that is worked on keeps being asked about; a word that nobody knows changes no state."""
    assert (judged(PROCESSING, 3).state, judged(STRANGE, 3).state) == (TaskState.PROCESSING, None)
    assert judged(STRANGE, 3).due_at_ms == judged(PROCESSING, 3).due_at_ms == SUBMITTED_MS + 5000
    assert judged(STRANGE, 3).status == "PAUSED"


@pytest.mark.parametrize("report", [PROCESSING, STRANGE])
def test_a_task_that_never_ends_is_given_up(report: TaskReport) -> None:
    """After its time it is unknown, keeps the vendor's last word, and says so in words."""
    assert judged(report, GIVE_UP_S - 1).due_at_ms is not None
    polled = judged(report, GIVE_UP_S)
    assert (polled.state, polled.due_at_ms, polled.status) == (TaskState.UNKNOWN, None, report.status)
    assert "had not ended 48 h after" in polled.message


def test_an_end_is_one_however_late() -> None:
    """What has ended by the first poll, years later, has ended and is not given up."""
    assert judged(FINISHED, 10 * GIVE_UP_S).state is TaskState.FINISHED


@pytest.mark.parametrize(
    ("age_s", "missed", "closed"),
    [(2, 1, False), (BELIEVED_AFTER_S - 1, 9, False), (10**6, 2, False), (BELIEVED_AFTER_S, 3, True)],
)
def test_that_a_task_is_not_known_is_asked_again_before_it_is_believed(
    age_s: float, missed: int, closed: bool
) -> None:
    """NO_TASK counts three times in a row, and not within the first minute."""
    polled = judged(NO_TASK, age_s, missed=missed)
    assert (polled.due_at_ms is None) == closed
    assert polled.state == (TaskState.UNKNOWN if closed else None)
    assert polled.status == "NO_TASK"


REFUSED = Answer(1000, "request failed", request_id="r-1")
MISSES: Sequence[Outcome] = (
    NO_TASK,
    REFUSED,
    Answer(2),
    Answer(987654),
    Answer(1),
    HttpRefusal(404),
    ReplyLost("says nothing of the task", 200, ReplyShape.DATA),
    ReplyLost("JSON without a Code", 200, ReplyShape.OTHER_JSON),
)
NO_MISSES: Sequence[Outcome] = (
    PROCESSING,
    STRANGE,
    Answer(6),
    Answer(7),
    Answer(3),
    Answer(100000005),
    HttpRefusal(429),
    HttpRefusal(503),
    HttpRefusal(302, location="https://login.example/"),
    ReplyLost("nobody answered"),
    ReplyLost("a page", 200),
    ReplyLost("HTTP 502", 502),
    NotSent("refused"),
)


def test_what_counts_as_not_told() -> None:
    """An answer that does not say where the task stands counts; silence and refusals of all calls do not."""
    assert [True] * len(MISSES) == list(map(is_miss, MISSES))
    assert [False] * len(NO_MISSES) == list(map(is_miss, NO_MISSES))


@pytest.mark.parametrize("outcome", NO_MISSES[2:])
def test_what_says_nothing_of_the_task_never_closes_it(outcome: Outcome) -> None:
    """However old the task: no outage, no pause and no halt ends it."""
    polled = judged(outcome, 10 * GIVE_UP_S, missed=99)
    assert (polled.state, polled.answered, polled.status) == (None, False, None)
    assert polled.due_at_ms is not None


@pytest.mark.parametrize(
    ("age_s", "missed", "others", "closed"),
    [
        (BELIEVED_AFTER_S, 3, True, True),
        (BELIEVED_AFTER_S, 2, True, False),
        (BELIEVED_AFTER_S - 1, 3, True, False),
        (BELIEVED_AFTER_S, 3, False, False),
        (BELIEVED_ALONE_AFTER_S, 3, False, True),
    ],
)
def test_a_refusal_by_code_is_believed_when_others_are_told_of(
    age_s: float, missed: int, others: bool, closed: bool
) -> None:
    """A fault of the service that refuses every poll does not close one task after the other."""
    polled = judged(REFUSED, age_s, missed=missed, others=others)
    assert (polled.due_at_ms is None) == closed
    assert (polled.status, polled.request_id) == ("code 1000", "r-1")


@pytest.mark.parametrize("outcome", [Answer(1), HttpRefusal(403), ReplyLost("cut off", 200, ReplyShape.DATA)])
def test_what_may_pass_is_given_up_only_after_the_tasks_time(outcome: Outcome) -> None:
    """Busy, forbidden and unreadable answers do not close a task before it is given up anyway."""
    assert judged(outcome, GIVE_UP_S - 1, missed=99).due_at_ms is not None
    assert judged(outcome, GIVE_UP_S, missed=2).due_at_ms is not None
    assert judged(outcome, GIVE_UP_S, missed=3).state is TaskState.UNKNOWN


def test_a_pause_that_the_service_names_is_kept() -> None:
    """``Retry-After`` moves the due time."""
    assert judged(HttpRefusal(429, 77.0), 3).due_at_ms == SUBMITTED_MS + 80_000


# -- the tracker, on virtual time ----------------------------------------------------------------------


class Book:
    """A ledger in memory; submissions appear in it when they are told to."""

    def __init__(self, tasks: Iterable[Followed]) -> None:
        self.open = {one.id: one for one in tasks}
        self.noted: list[Polled] = []

    async def take_up(self, longest_wait_ms: int) -> None:
        assert longest_wait_ms > 0

    async def seed(self, first_wait_ms: int) -> int:
        raise AssertionError(f"nothing waits to be followed, {first_wait_ms} ms after it was submitted")

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        due = sorted(
            (one for one in self.open.values() if one.due_at_ms <= now_ms), key=lambda one: one.due_at_ms
        )
        return due[:limit]

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        due = sorted(one.due_at_ms for one in self.open.values())[beyond:]
        return TaskCounts(due[0] if due else None, untracked=False)

    async def note(self, polled: Polled) -> bool:
        self.noted.append(polled)
        if polled.due_at_ms is None:
            del self.open[polled.task.id]
        else:
            self.open[polled.task.id] = polled.task._replace(
                due_at_ms=polled.due_at_ms, polls=polled.task.polls + polled.answered, status=polled.status
            )
        return True


class Service:
    """Answers by rule; says when it was asked, in virtual seconds."""

    def __init__(self, answer: Callable[[int, TaskId], Outcome]) -> None:
        self._answer = answer
        self.latency_s = 0.0
        self.asked: list[tuple[float, TaskId]] = []

    async def describe(self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None) -> Outcome:
        del vendor, on_wire
        self.asked.append((passed_s(), task_id))
        await asyncio.sleep(self.latency_s)
        return self._answer(len(self.asked), task_id)


class Tried:
    """A tracker over some tasks, and what came of it."""

    def __init__(
        self,
        answer: Callable[[int, TaskId], Outcome],
        *tasks: Followed,
        settings: TrackSettings | None = None,
        book: Book | None = None,
    ) -> None:
        self.book = book or Book(tasks or [task()])
        self.service, self.told = Service(answer), list[Event]()
        self.tracker = Tracker(
            self.book,
            self.service,
            settings or TrackSettings(),
            on_event=self.told.append,
            clock=now_s,
            wall=lambda: SUBMITTED_MS / 1000 + passed_s(),
            rng=Random(1),
        )

    async def run(self) -> Tracked:
        return await self.tracker.run()


def tracked(answer: Callable[[int, TaskId], Outcome], *tasks: Followed) -> tuple[Tracked, Tried]:
    """Follow some tasks to their end."""

    async def scenario() -> tuple[Tracked, Tried]:
        tried = Tried(answer, *tasks)
        return await tried.run(), tried

    return run_virtually(scenario())


def test_a_task_is_asked_about_until_it_ends() -> None:
    """First two seconds after it was submitted, then ever later."""
    ended, tried = tracked(lambda n, _: FINISHED if n == 6 else PROCESSING)
    times = [at for at, _ in tried.service.asked]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert times[0] == pytest.approx(2, abs=0.1)
    assert gaps == pytest.approx([2, 3, 4.5, 6.75, 10.1], rel=0.12)
    assert (ended.exit, ended.polls, tried.book.open) == (ExitCode.DONE, 6, {})


class SlowBook(Book):
    """A ledger that says what was due a moment ago, as one does that is read while it is written."""

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        found = await super().due(now_ms, limit)
        await asyncio.sleep(0.05)
        return found


def test_no_end_is_asked_about_again() -> None:
    """What is recorded while the ledger is being read still seems due there, and is not asked about."""

    async def scenario() -> list[TaskId]:
        tasks = [task(n)._replace(due_at_ms=SUBMITTED_MS + 2000 + 60 * n) for n in range(40)]
        tried = Tried(lambda *_: FINISHED, book=SlowBook(tasks))
        tried.service.latency_s = 0.03
        assert (await tried.run()).exit is ExitCode.DONE
        return [task_id for _, task_id in tried.service.asked]

    asked = run_virtually(scenario())
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) == 40


class LateBook(Book):
    """A ledger that says what is left a moment after it has looked."""

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        found = await super().left(beyond=beyond)
        await asyncio.sleep(0.05)
        return found


def test_what_is_put_off_while_the_ledger_is_asked_is_waited_for() -> None:
    """A poll in hand when the ledger is asked what is left, and put off before that answers, ends nothing."""

    async def scenario() -> dict[SubmissionId, Followed]:
        tried = Tried(lambda n, _: PROCESSING if n == 1 else FINISHED, book=LateBook([task()]))
        tried.service.latency_s = 0.08
        assert (await tried.run()).exit is ExitCode.DONE
        return tried.book.open

    assert run_virtually(scenario()) == {}


def test_polls_keep_their_pace() -> None:
    """However many tasks are due, no second sees more polls than the limit."""
    ended, tried = tracked(lambda *_: FINISHED, *map(task, range(100)))
    times = [at for at, _ in tried.service.asked]
    assert ended.polls == 100
    assert max(sum(begin <= at < begin + 1 for at in times) for begin in times) <= 20
    assert times[-1] - times[0] < 5.2


def test_a_forgotten_task_takes_a_minute_to_be_believed() -> None:
    """NO_TASK right after the submission is asked again; when it turns out to be known, nothing is lost."""
    ended, tried = tracked(lambda *_: NO_TASK)
    assert tried.service.asked[-1][0] >= BELIEVED_AFTER_S
    assert tried.book.noted[-1].state is TaskState.UNKNOWN
    assert ended.exit is ExitCode.DONE
    _, tried = tracked(lambda n, _: NO_TASK if n < 6 else FINISHED)
    assert [one.state for one in tried.book.noted] == [None] * 5 + [TaskState.FINISHED]


def test_a_fault_of_the_account_halts() -> None:
    """Nothing more is asked, and the reason says what to do; the tasks stay due."""
    ended, tried = tracked(lambda *_: Answer(100000005, "signature wrong"), *map(task, range(50)))
    assert ended.exit is ExitCode.HALTED
    assert "code 100000005" in ended.reason
    assert len(tried.book.open) == 50
    assert len(tried.service.asked) <= 3


def test_doubted_credentials_are_asked_again() -> None:
    """Code 7 after a report: once more, a report means that it was the rate; a second 7 halts."""
    ended, tried = tracked(lambda n, _: Answer(7) if n == 5 else FINISHED, *map(task, range(20)))
    assert (ended.exit, tried.book.open) == (ExitCode.DONE, {})
    ended, tried = tracked(lambda n, _: Answer(7) if n >= 5 else FINISHED, *map(task, range(20)))
    assert ended.exit is ExitCode.HALTED
    assert len(tried.service.asked) <= 7
    ended, _ = tracked(lambda *_: Answer(7))
    assert ended.exit is ExitCode.HALTED


def test_an_outage_is_sat_out() -> None:
    """After five polls without an answer one task is asked about at growing intervals; then all goes on."""
    ended, tried = tracked(
        lambda n, _: NotSent("Connection refused") if n <= 15 else FINISHED, *map(task, range(30))
    )
    assert (ended.exit, ended.outage, tried.book.open) == (ExitCode.DONE, None, {})
    assert [notice.event for notice in tried.told] == ["outage_began", "outage_over"]
    asked = [at for at, _ in tried.service.asked]
    assert asked[14] - asked[5] > 20


@pytest.mark.parametrize(
    "refusal", [Answer(6), Answer(7), Answer(1000), HttpRefusal(429), HttpRefusal(503), HttpRefusal(502)]
)
def test_polls_of_some_tasks_always_refused_slow_no_others(refusal: NotReported) -> None:
    """All others are polled at no less than 18 a second meanwhile, and the refused ones few times."""
    stuck = {f"task-{n}" for n in range(4, 400, 80)}
    tasks = [task(n + 1) for n in range(400)]
    _, tried = tracked(lambda _, id_: refusal if id_ in stuck else FINISHED, *tasks)
    others = [at for at, id_ in tried.service.asked if id_ not in stuck][: len(tasks) - len(stuck)]
    early = Counter(id_ for at, id_ in tried.service.asked if id_ in stuck and at <= others[-1])
    assert (len(others) - 1) / (others[-1] - others[0]) >= 18
    assert max(early.values()) <= 10
    assert {id_ for _, id_ in tried.service.asked} == {one.task_id for one in tasks}


def test_too_frequent_slows_the_polls_down() -> None:
    """Code 6 takes from the pace and closes nothing."""

    async def scenario() -> float:
        tried = Tried(
            lambda n, _: Answer(6) if 10 <= n < 60 and n % 4 == 0 else FINISHED, *map(task, range(80))
        )
        ended = await tried.run()
        assert (ended.exit, tried.book.open) == (ExitCode.DONE, {})
        return tried.tracker.pace.pace_per_s

    assert run_virtually(scenario()) < 19


def test_it_ends_in_time_and_says_that_nobody_answered() -> None:
    """A time that is over in an outage ends it with work left, and with what was met."""

    async def scenario() -> Tracked:
        tried = Tried(lambda *_: NotSent("refused"), settings=TrackSettings(lasts_s=300))
        return await tried.run()

    ended = run_virtually(scenario())
    assert ended.exit is ExitCode.WORK_LEFT
    assert ended.outage is not None
    assert ended.outage.met == "refused"


def test_a_defect_ends_it_in_order() -> None:
    """What nobody expected stops the polls with words, and takes nothing else down."""

    def broken(_n: int, _task_id: TaskId) -> Outcome:
        raise ZeroDivisionError

    ended, _ = tracked(broken)
    assert ended.exit is ExitCode.DEFECT
    assert "ZeroDivisionError" in ended.reason


# -- clocks --------------------------------------------------------------------------------------------


def asked_after(moved_s: float, *, settings: TrackSettings | None = None) -> tuple[Tracked, list[float], int]:
    """Follow a task that never ends; after 500 s the wall's clock jumps, and 700 s later it is stopped.

    Returns:
        How it ended, when polls were made since the jump, in seconds after it, and the last due time.
    """

    async def scenario() -> tuple[Tracked, list[float], int]:
        moved = [0.0]
        tried = Tried(lambda *_: PROCESSING, settings=settings)
        tried.tracker = Tracker(
            tried.book,
            tried.service,
            settings or TrackSettings(),
            clock=now_s,
            wall=lambda: SUBMITTED_MS / 1000 + passed_s() + moved[0],
            rng=Random(1),
        )
        running = asyncio.ensure_future(tried.run())
        await asyncio.sleep(500)
        moved[0], jumped = moved_s, passed_s()
        await asyncio.wait([running], timeout=700)
        tried.tracker.stop(ExitCode.SIGINT, "enough")
        ended = await running
        due_at_ms = tried.book.noted[-1].due_at_ms
        assert due_at_ms is not None
        return ended, [at - jumped for at, _ in tried.service.asked if at >= jumped], due_at_ms

    return run_virtually(scenario())


def test_tracker_on_a_machine_that_slept_polls_on_waking() -> None:
    """What became due meanwhile is asked about within a second, and its next due time is wall time."""
    _, asked, due_at_ms = asked_after(8 * 3600)
    assert asked[0] <= 1.1
    assert due_at_ms > SUBMITTED_MS + 8 * 3600 * 1000


def test_tracker_whose_wall_clock_is_set_back_keeps_polling() -> None:
    """A wall clock that is set back by a day puts no poll off, and no poll is made more often."""
    _, usual, _ = asked_after(0)
    _, asked, _ = asked_after(-86400)
    assert asked == pytest.approx(usual, abs=0.1)


def test_tracker_with_a_time_limit_on_a_machine_that_slept_ends() -> None:
    """The time limit counts wall time."""
    ended, asked, _ = asked_after(3600, settings=TrackSettings(lasts_s=3600))
    assert (ended.exit, ended.reason) == (ExitCode.WORK_LEFT, "its time was over")
    assert len(asked) <= 1
