"""The snapshot worker: one thread that takes the pictures of real files, and the folder for them.

`server` opens it if a folder of media files is served; `callback_sender` passes one task after another to
it. The folder belongs to the worker and is removed when it closes.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from .pictures import picture_name
from .tasks import SandboxTask, Shots, Tasks


class SnapshotWorker:
    """Takes pictures, one task at a time."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._kept = TemporaryDirectory(prefix="batcher-sandbox-")
        self.folder = Path(self._kept.name)
        self._stopped = Event()
        self._thread = ThreadPoolExecutor(1, "sandbox pictures")

    def take(self, task: SandboxTask) -> asyncio.Future[Shots]:
        """Take the pictures of a task, after those of earlier tasks."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._take, task)

    def forget(self, task: SandboxTask) -> None:
        """Remove the pictures of a task that is no longer kept."""
        for number in range(1, len(task.shots.times_ms) + 1 if task.shots else 1):
            (self.folder / picture_name(task.task_id, number)).unlink(missing_ok=True)

    async def close(self) -> None:
        """Stop, and remove everything."""
        self._stopped.set()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._kept.cleanup)

    def _take(self, task: SandboxTask) -> Shots:
        from .snapshot_taker import take  # noqa: PLC0415, RUF100 - PyAV is an extra

        recording = self._tasks.recording(task.vendor, task.file_id)
        if recording is None or recording.path is None:
            return Shots(problem="the source file does not exist")
        return take(
            recording.path,
            lambda duration_s: self._tasks.wanted_s(task, duration_s),
            lambda number: self.folder / picture_name(task.task_id, number),
            self._stopped.is_set,
        )
