"""The accepted tasks, and their states.

`service` adds a task when it accepts one; `callback_sender` is notified of each task, to take its pictures
and to call back. The state follows from the task's fate and from the tasks' clock alone, so that a query
changes nothing and no timer is needed. `task_fates` chooses the fate on acceptance; `task_reports` writes
the answers of DescribeMediaTask.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from posixpath import dirname

from .clock import TaskClock
from .recordings import UNLISTED_DURATION_S, Catalogue, SandboxRecording
from .settings import SandboxSettings
from .task_fates import TaskFates
from .validation import BY_OFFSET, Call
from .variants import Fate

_PICTURE = re.compile(r".*/([A-Za-z0-9-]{1,80})/([0-9]{4}|[1-9][0-9]{4,5})\.jpg", re.DOTALL)
ENDED = frozenset({"FINISH", "FAIL", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Shots:
    """The result of taking a task's pictures: their times in the recording, or a problem."""

    times_ms: tuple[int, ...] = ()
    problem: str = ""


@dataclass(slots=True, eq=False)
class SandboxTask:
    """One task. Everything is settled on acceptance, except the result of taking its pictures."""

    task_id: str
    vendor: str
    file_id: str
    type: str
    offsets_s: tuple[float, ...]
    interval_s: float
    accepted_s: float
    """On the clock of the tasks."""
    accepted_at_s: float
    """Unix seconds."""
    fate: Fate
    problem: str
    """The reason, if its fate is to fail."""
    shots: Shots | None = None
    """None while real pictures are being taken, and always where pictures are made by rule."""


class Tasks:
    """All tasks that are kept, by id."""

    def __init__(
        self, settings: SandboxSettings, catalogue: Catalogue, clock: TaskClock, wall: Callable[[], float]
    ) -> None:
        self.base_url = ""
        """The address of pictures, with a slash at its end."""
        self.on_accepted: Callable[[SandboxTask], None] | None = None
        """Called with each accepted task."""
        self.on_forgotten: Callable[[SandboxTask], None] | None = None
        """Called with each task that is no longer kept."""
        self._settings = settings.tasks
        self._catalogue = catalogue
        self._real = settings.media is not None
        self._clock = clock
        self._wall = wall
        self._fates = TaskFates(settings, catalogue)
        self._tasks: dict[str, SandboxTask] = {}

    def __getitem__(self, task_id: str) -> SandboxTask:
        return self._tasks[task_id]

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, task_id: str, vendor: str) -> SandboxTask | None:
        """Return a vendor's task by its id; None if the service does not know it."""
        task = self._tasks.get(task_id)
        if task is None or task.vendor != vendor or task.fate is Fate.FORGOTTEN:
            return None
        return task

    def file_of(self, task_id: str) -> str:
        """Return the file id of a task, empty if there is none."""
        task = self._tasks.get(task_id)
        return "" if task is None else task.file_id

    def recording(self, vendor: str, file_id: str) -> SandboxRecording | None:
        """Return the recording of a task's file, if a catalogue lists it."""
        return self._catalogue.find(vendor, file_id)

    def accept(self, task_id: str, call: Call, arrived_s: float) -> SandboxTask:
        """Add the task of a well-formed call that arrived at a monotonic time."""
        vendor, file_id = call.one("Vendor"), call.one("FileId")
        fate, problem = self._fates.fate(vendor, file_id)
        task = SandboxTask(
            task_id=task_id,
            vendor=vendor,
            file_id=file_id,
            type=call.one("Type"),
            offsets_s=tuple(map(float, call.each("ExtTimeOffsetSet"))),
            interval_s=float(call.one("Interval"))
            if vendor == "Huawei"
            else self._settings.sample_interval_s,
            accepted_s=self._clock.at_s(arrived_s),
            accepted_at_s=self._wall(),
            fate=fate,
            problem=self._settings.messages.get(file_id, problem),
        )
        self._tasks[task_id] = task
        if len(self._tasks) > self._settings.keep:
            self._forget(next(iter(self._tasks)))
        if self.on_accepted is not None:
            self.on_accepted(task)
        return task

    @property
    def time_s(self) -> float:
        """Seconds from the acceptance of a task to its end."""
        return self._settings.time_s

    def ends_s(self, task: SandboxTask) -> float | None:
        """Return the time at which a task ends, on the clock of the tasks; None if it never does."""
        if task.fate in (Fate.ENDLESS, Fate.STUCK, Fate.FORGOTTEN):
            return None
        return task.accepted_s + self._settings.time_s

    def needs_pictures(self, task: SandboxTask) -> bool:
        """Return whether pictures of a real file are still to be taken for a task."""
        return self._real and task.fate is Fate.FINISH and task.shots is None

    def status(self, task: SandboxTask) -> str:
        """Return the state of a task, in Tencent's words, and CANCELED and NO_TASK in Huawei's."""
        age_s = self._clock.now_s() - task.accepted_s
        if task.fate is Fate.FORGOTTEN:
            return "NO_TASK"
        if task.fate is Fate.STUCK or age_s < self._settings.time_s / 4:
            return "WAITING"
        if task.fate is Fate.ENDLESS or age_s < self._settings.time_s or self.needs_pictures(task):
            return "PROCESSING"
        if task.fate is Fate.CANCELED:
            return "CANCELED" if task.vendor == "Huawei" else "FAIL"
        return "FAIL" if self.problem(task) else "FINISH"

    def problem(self, task: SandboxTask) -> str:
        """Return why an ended task has no pictures; empty if it has."""
        if task.fate is not Fate.FINISH:
            return task.problem or "the task failed"
        shots = task.shots or self._by_rule(task)
        return shots.problem or ("" if shots.times_ms else "no offset lies within the recording")

    def times_ms(self, task: SandboxTask) -> tuple[int, ...]:
        """Return the times in the recording of the pictures that a task has made."""
        if self.status(task) != "FINISH":
            return ()
        return (task.shots or self._by_rule(task)).times_ms

    def wanted_s(self, task: SandboxTask, duration_s: float) -> list[float]:
        """Return the times that a task asks for and that are within a recording, cut to the most pictures."""
        if task.type == BY_OFFSET:
            times_s = [offset_s for offset_s in task.offsets_s if offset_s < duration_s]
        else:
            many = min(ceil(duration_s / task.interval_s), self._settings.most_pictures)
            times_s = [number * task.interval_s for number in range(many)]
        return times_s[: self._settings.most_pictures]

    def pictures(self, task: SandboxTask) -> list[tuple[str, int]]:
        """Return address (Huawei: object name) and time in milliseconds of each picture, as reported."""
        times_ms = self.times_ms(task)
        given = self._settings.urls.get(task.file_id)
        if given is not None and times_ms:
            return [(url, times_ms[min(n, len(times_ms) - 1)]) for n, url in enumerate(given)]
        base = "" if task.vendor == "Huawei" else f"{self.base_url}_pictures/"
        return [(f"{base}{_object_name(task, number)}", at_ms) for number, at_ms in enumerate(times_ms, 1)]

    def picture_at(self, name: str) -> tuple[SandboxTask, int] | None:
        """Return the task and the number (from 1) of the picture with an object name, if it exists."""
        found = _PICTURE.fullmatch(name)
        task = self._tasks.get(found[1]) if found else None
        if found is None or task is None or not 1 <= int(found[2]) <= len(self.times_ms(task)):
            return None
        return (task, int(found[2])) if name == _object_name(task, int(found[2])) else None

    def _by_rule(self, task: SandboxTask) -> Shots:
        recording = self._catalogue.find(task.vendor, task.file_id)
        duration_s = UNLISTED_DURATION_S if recording is None else recording.duration_s
        return Shots(tuple(round(at_s * 1000) for at_s in self.wanted_s(task, duration_s)))

    def _forget(self, task_id: str) -> None:
        task = self._tasks.pop(task_id)
        if self.on_forgotten is not None:
            self.on_forgotten(task)


def _object_name(task: SandboxTask, number: int) -> str:
    """Return the name of a picture, which contains Tencent's file id or the folder of Huawei's object."""
    if task.vendor == "Tencent":
        return f"snapshots/{task.file_id}/{task.task_id}/{number:04d}.jpg"
    folder = dirname(task.file_id).strip("/")
    return f"{folder + '/' if folder else ''}snapshots/{task.task_id}/{number:04d}.jpg"
