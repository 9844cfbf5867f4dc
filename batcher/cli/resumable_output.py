"""The output of a command that takes long: a file that an interrupted command leaves for the next call.

Called by ``discover``. ``FILE.part`` is the list so far; ``FILE.part.json`` records how far it goes and which
options it was made with. Both are gone when FILE is complete. What a crash has written after the last record
is cut off by the next call, and a file that was begun with other options is never continued. stdout, pipes
and devices are written as they are.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from batcher.cli.output_file import opened
from batcher.errors import BatcherError, SettingsError
from batcher.files import absolute, is_folder, is_special, unwritable
from batcher.output_files import check_target, written_whole

RECORD_EVERY_S = 1.0
"""Each record of the progress waits for the disk."""


@contextmanager
def resumable_output(output: Path | None, made_with: Mapping[str, Any]) -> Iterator[ResumableOutput]:
    """Open an output: stdout when there is no path, else a device, a pipe, or a file that can be resumed.

    Args:
        output: the path.
        made_with: the options that the list depends on, as JSON can hold them.

    Raises:
        SettingsError: an unfinished file was made with other options, or another process writes it.
        BatcherError: the file cannot be written.
    """
    if output is None or is_special(output):
        with opened(output) as file:
            yield _Stream(file)
    else:
        with UnfinishedFile(output, made_with) as unfinished:
            yield unfinished


class _Stream:
    """An output that cannot be resumed: stdout, a pipe, a device.

    The heading is written together with the first part: a list that could not be begun leaves the reader
    nothing, rather than a list without recordings.
    """

    before: dict[str, Any] | None = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._heading: bytes | None = None

    def write(self, data: bytes, progress: Mapping[str, Any] | None) -> None:
        del progress
        if self._heading is None:
            self._heading = data
            return
        self._file.write(self._heading + data)
        self._heading = b""
        self._file.flush()

    def finish(self) -> None:
        """Write the heading of an empty list; all else is written already."""
        self.write(b"", None)


class UnfinishedFile:
    """A file that is being written; as a context manager it keeps an incomplete file for the next call.

    Args:
        place: the path of the complete file.
        made_with: the options that the list depends on, as JSON can hold them.

    Raises:
        SettingsError: an unfinished file was made with other options, or another process writes it.
        BatcherError: the file cannot be written.
    """

    def __init__(self, place: Path, made_with: Mapping[str, Any]) -> None:
        self._place = place
        self._made_with = dict(made_with)
        self._part = place.with_name(place.name + ".part")
        self._record = place.with_name(place.name + ".part.json")
        self._recorded_at = 0.0
        self._size = 0
        self._latest: tuple[dict[str, Any], int] | None = None
        self._complete = False
        for written in (place, self._part, self._record):
            check_target(written, "--output")
        try:
            if is_folder(place):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._file = self._part.open("a+b")
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def __enter__(self) -> Self:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.before = self._resume()
        except BlockingIOError:
            self._file.close()
            raise SettingsError(
                f"{self._part}: another batcher is writing it; wait until that has ended"
            ) from None
        except OSError as exc:
            self._file.close()
            raise self._unwritable(exc) from exc
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not self._complete:
                self._keep()
                self._file.truncate(self._latest[1] if self._latest else 0)
        except OSError as problem:
            if exc is None:
                raise self._unwritable(problem) from problem
        finally:
            with contextlib.suppress(OSError):  # what it holds back is written above, or cannot be written
                self._file.close()
            if not self._complete and self._latest is None:
                self._part.unlink(missing_ok=True)

    before: dict[str, Any] | None
    """The progress that an earlier call recorded; None when there is none."""

    def write(self, data: bytes, progress: Mapping[str, Any] | None) -> None:
        """Append data.

        Args:
            data: the next part.
            progress: how far the list then goes; None where a later call has to write the part again.
        """
        try:
            self._file.write(data)
            self._size += len(data)
            if progress is None:
                return
            self._latest = dict(progress), self._size
            if time.monotonic() - self._recorded_at >= RECORD_EVERY_S:
                self._keep()
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def finish(self) -> None:
        """Move the complete file to its place."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._place)
            self._complete = True
            self._record.unlink(missing_ok=True)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _resume(self) -> dict[str, Any] | None:
        """Cut the unfinished file to what was recorded; return the recorded progress."""
        try:
            record = json.loads(self._record.read_bytes())
            n_bytes, progress = int(record["bytes"]), dict(record["reached"])
            made_with = dict(record["of"])
        except FileNotFoundError:
            record = None
        except (ValueError, KeyError, TypeError) as exc:
            raise SettingsError(
                f"{self._record}: batcher did not write this file. "
                f"Remove it and {self._part.name} to start again"
            ) from exc
        if record is None or os.fstat(self._file.fileno()).st_size < n_bytes:
            self._file.truncate(0)
            return None
        if made_with != self._made_with:
            names = sorted({*made_with, *self._made_with})
            changed = [name for name in names if made_with.get(name) != self._made_with.get(name)]
            raise SettingsError(
                f"{self._record}: an unfinished list with other options ({', '.join(changed)}). Finish it "
                f"with those options, or remove it and {self._part.name} to start again"
            )
        self._file.truncate(n_bytes)
        self._size, self._latest = n_bytes, (progress, n_bytes)
        return progress

    def _keep(self) -> None:
        """Record how far the list goes, once that much is on disk."""
        self._file.flush()
        if self._latest is None:
            return
        os.fsync(self._file.fileno())
        progress, n_bytes = self._latest
        record = {"of": self._made_with, "reached": progress, "bytes": n_bytes}
        with written_whole(self._record, "--output") as file:
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8"))
        self._recorded_at = time.monotonic()

    def _unwritable(self, exc: OSError) -> BatcherError:
        return unwritable(exc, f"--output {absolute(self._place)}", self._place)


ResumableOutput = _Stream | UnfinishedFile
"""Where a list is written."""
