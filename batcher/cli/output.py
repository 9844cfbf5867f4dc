"""Where results go: a file that comes into being whole, or stdout; and what a signal does to either.

Between the commands that write and the disk. Whatever ends such a command, short of a kill, no half
of a file stays behind. It never knows what is written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO, Self

from batcher.errors import BatcherError, SettingsError


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file written beside its place and then renamed; devices and pipes are written into.

    Raises:
        BatcherError: it cannot be written.
    """
    try:
        if output is None:
            yield from _stdout()
        elif output.exists() and not output.is_file() and not output.is_dir():
            with output.open("wb") as file:
                yield file
        else:
            yield from _beside(output.resolve())
    except BrokenPipeError:
        raise  # the reader has what it wanted
    except OSError as exc:
        place = "stdout" if output is None else f"--output {output}"
        raise BatcherError(f"{place}: cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def waiting_room(output: Path | None) -> Iterator[Path]:
    """A folder for what has to wait on disk: on the disk of the results, gone afterwards."""
    place = None if output is None or not output.resolve().parent.is_dir() else output.resolve().parent
    with tempfile.TemporaryDirectory(prefix=".batcher.", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _stdout() -> Iterator[BinaryIO]:
    if sys.stdout is None:
        raise SettingsError("stdout is closed; name a file with -o")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _beside(output: Path) -> Iterator[BinaryIO]:
    descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    beside = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            yield file
            file.flush()
            os.fsync(descriptor)
        beside.chmod(0o666 & ~_umask())
        beside.replace(output)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


class Interruptible:
    """Within it a signal to end cancels the task, so that all it holds is cleaned up, instead of the process.

    Signals that the process was told to ignore stay ignored. Use as a context manager.

    Attributes:
        code: the exit code, when a signal came.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._blocking = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as it was handed out

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For long work without a pause: here a signal cancels where it strikes."""
        self._blocking = True
        try:
            yield
        finally:
            self._blocking = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.code = 128 + number
        if self._blocking:
            raise asyncio.CancelledError
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
