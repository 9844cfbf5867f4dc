"""The tracker, on virtual time: the order and pace of its polls, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import pytest
from support.polled_tasks import FINISHED, NO_TASK, PROCESSING, SUBMITTED_MS, Outcome, task
from support.virtual_time import now_s, passed_s, run_virtually

from batcher.exit_codes import ExitCode
from batcher.ledger.tasks import Followed, Polled, TaskCounts
from batcher.model.events import Event
from batcher.model.outcome import Answer, HttpRefusal, NotReported, NotSent
from batcher.model.submission import SubmissionId, TaskId, Vendor
from batcher.model.task import TaskState
from batcher.track.poll_policy import BELIEVED_AFTER_S
from batcher.track.settings import Tracked, TrackSettings
from batcher.track.tracker import Tracker
from batcher.zego.client import Wire


class Book:
    """A ledger in memory, with the tasks that it is made with."""

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
    """Answers by a rule, and keeps when it was asked, in virtual seconds."""

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
    """A tracker over some tasks, with its ledger, service and events."""

    def __init__(
        self,
        answer: Callable[[int, TaskId], Outcome],
        *tasks: Followed,
        settings: TrackSettings | None = None,
        book: Book | None = None,
    ) -> None:
        self.book = book or Book(tasks or [task()])
        self.service, self.events = Service(answer), list[Event]()
        self.tracker = Tracker(
            self.book,
            self.service,
            settings or TrackSettings(),
            on_event=self.events.append,
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


def test_task_is_polled_until_it_ends() -> None:
    """The first poll is two seconds after the submission, the others later and later."""
    ended, tried = tracked(lambda n, _: FINISHED if n == 6 else PROCESSING)
    times = [at for at, _ in tried.service.asked]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert times[0] == pytest.approx(2, abs=0.1)
    assert gaps == pytest.approx([2, 3, 4.5, 6.75, 10.1], rel=0.12)
    assert (ended.exit, ended.polls, tried.book.open) == (ExitCode.DONE, 6, {})


class SlowBook(Book):
    """A ledger whose list of due tasks is a moment old, since it is written meanwhile."""

    async def due(self, now_ms: int, limit: int) -> list[Followed]:
        found = await super().due(now_ms, limit)
        await asyncio.sleep(0.05)
        return found


def test_task_that_has_ended_is_not_polled_again() -> None:
    """A task whose end is recorded while the ledger is read may still seem due, and is not polled."""

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
    """A ledger whose count of open tasks is a moment old."""

    async def left(self, *, beyond: int = 0) -> TaskCounts:
        found = await super().left(beyond=beyond)
        await asyncio.sleep(0.05)
        return found


def test_task_put_off_during_a_query_is_waited_for() -> None:
    """A task that is put off while the ledger counts what is left keeps the tracker running."""

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


def test_unknown_task_is_given_up_after_a_minute() -> None:
    """NO_TASK right after the submission is polled again; a task that is known later is not lost."""
    ended, tried = tracked(lambda *_: NO_TASK)
    assert tried.service.asked[-1][0] >= BELIEVED_AFTER_S
    assert tried.book.noted[-1].state is TaskState.UNKNOWN
    assert ended.exit is ExitCode.DONE
    _, tried = tracked(lambda n, _: NO_TASK if n < 6 else FINISHED)
    assert [one.state for one in tried.book.noted] == [None] * 5 + [TaskState.FINISHED]


def test_account_fault_halts() -> None:
    """No more polls are sent, and the reason has the remedy; the tasks stay due."""
    ended, tried = tracked(lambda *_: Answer(100000005, "signature wrong"), *map(task, range(50)))
    assert ended.exit is ExitCode.HALTED
    assert "code 100000005" in ended.reason
    assert len(tried.book.open) == 50
    assert len(tried.service.asked) <= 3


def test_doubted_credentials_are_probed() -> None:
    """After a report, code 7 causes a probe: a report means the rate, a second code 7 halts."""
    ended, tried = tracked(lambda n, _: Answer(7) if n == 5 else FINISHED, *map(task, range(20)))
    assert (ended.exit, tried.book.open) == (ExitCode.DONE, {})
    ended, tried = tracked(lambda n, _: Answer(7) if n >= 5 else FINISHED, *map(task, range(20)))
    assert ended.exit is ExitCode.HALTED
    assert len(tried.service.asked) <= 7
    ended, _ = tracked(lambda *_: Answer(7))
    assert ended.exit is ExitCode.HALTED


def test_outage_is_waited_for() -> None:
    """After five missing answers the tracker probes at growing intervals; then it polls all tasks."""
    ended, tried = tracked(
        lambda n, _: NotSent("Connection refused") if n <= 15 else FINISHED, *map(task, range(30))
    )
    assert (ended.exit, ended.outage, tried.book.open) == (ExitCode.DONE, None, {})
    assert [event.event for event in tried.events] == ["outage_began", "outage_over"]
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


def test_throttled_polls_slow_the_pace() -> None:
    """Code 6 lowers the pace and closes no task."""

    async def scenario() -> float:
        tried = Tried(
            lambda n, _: Answer(6) if 10 <= n < 60 and n % 4 == 0 else FINISHED, *map(task, range(80))
        )
        ended = await tried.run()
        assert (ended.exit, tried.book.open) == (ExitCode.DONE, {})
        return tried.tracker.pace.pace_per_s

    assert run_virtually(scenario()) < 19


def test_tracker_whose_time_ends_in_an_outage_reports_it() -> None:
    """It ends with work left and names the last outcome."""

    async def scenario() -> Tracked:
        tried = Tried(lambda *_: NotSent("refused"), settings=TrackSettings(lasts_s=300))
        return await tried.run()

    ended = run_virtually(scenario())
    assert ended.exit is ExitCode.WORK_LEFT
    assert ended.outage is not None
    assert ended.outage.met == "refused"


def test_defect_ends_the_tracker_in_order() -> None:
    """An unexpected exception ends the polls with a reason, and affects nothing else."""

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
    """Tasks that became due during the sleep are polled within a second, and due times stay wall time."""
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
    assert (ended.exit, ended.reason) == (ExitCode.WORK_LEFT, "time limit reached")
    assert len(asked) <= 1
