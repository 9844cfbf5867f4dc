"""A list that takes long to make: kept beside its place while it grows, so that the next call goes on.

Between a command that writes part after part and the disk. ``FILE.part`` is what there is, ``FILE.part.json``
how far it goes and what it is a list of; both are gone when FILE is there, whole. What a crash has written
beyond what is noted is cut off again. It never goes on with the list of something else.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batcher.errors import BatcherError, SettingsError
from batcher.output_files import check_target, written_whole

NOTED_EVERY_S = 1.0
"""Each note waits for the disk."""


class UnfinishedFile:
    """A file in the making; use as a context manager, which keeps it for the next call unless it is whole.

    Args:
        place: where it goes in the end.
        of: what it is a list of, as JSON can hold it; a file begun for something else is not gone on with.

    Raises:
        SettingsError: what is there belongs to another list, or another process is writing it.
        BatcherError: it cannot be written.
    """

    def __init__(self, place: Path, of: Mapping[str, Any]) -> None:
        self._place = place
        self._of = dict(of)
        self._part = place.with_name(place.name + ".part")
        self._note = place.with_name(place.name + ".part.json")
        self._noted_at = 0.0
        self._size = 0
        self._latest: tuple[dict[str, Any], int] | None = None
        self._whole = False
        for written in (place, self._part, self._note):
            check_target(written, "--output")
        try:
            if place.is_dir():
                raise IsADirectoryError(21, os.strerror(21))
            self._file = self._part.open("a+b")
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def __enter__(self) -> Self:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.before = self._go_on()
        except BlockingIOError:
            self._file.close()
            raise SettingsError(f"{self._part}: another batcher is writing it; wait for its end") from None
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
            if not self._whole:
                self._keep()
                self._file.truncate(self._latest[1] if self._latest else 0)
        except OSError as problem:
            if exc is None:
                raise self._unwritable(problem) from problem
        finally:
            self._file.close()

    before: dict[str, Any] | None
    """How far an earlier call has come, as it was noted; None when this one begins."""

    def write(self, data: bytes, reached: Mapping[str, Any] | None) -> None:
        """Add to it.

        Args:
            data: what comes next.
            reached: how far it goes then, as JSON can hold it; None for what a later call has to add again.
        """
        try:
            self._file.write(data)
            self._size += len(data)
            if reached is None:
                return
            self._latest = dict(reached), self._size
            if time.monotonic() - self._noted_at >= NOTED_EVERY_S:
                self._keep()
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def finish(self) -> None:
        """It is whole: put it in its place."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._place)
            self._whole = True
            self._note.unlink(missing_ok=True)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _go_on(self) -> dict[str, Any] | None:
        """Take up what is there, cut to what is noted."""
        try:
            noted = json.loads(self._note.read_bytes())
            n_bytes, of, reached = int(noted["bytes"]), dict(noted["of"]), dict(noted["reached"])
        except FileNotFoundError:
            noted = None
        except (ValueError, KeyError, TypeError) as exc:
            raise SettingsError(
                f"{self._note}: not what batcher has written; remove it and {self._part.name} to begin anew"
            ) from exc
        if noted is None or os.fstat(self._file.fileno()).st_size < n_bytes:
            self._file.truncate(0)
            return None
        if of != self._of:
            changed = ", ".join(
                sorted(name for name in {*of, *self._of} if of.get(name) != self._of.get(name))
            )
            raise SettingsError(
                f"{self._note}: an unfinished list under other options ({changed}). Finish it under those, "
                f"or remove it and {self._part.name} to begin anew"
            )
        self._file.truncate(n_bytes)
        self._size, self._latest = n_bytes, (reached, n_bytes)
        return reached

    def _keep(self) -> None:
        """Note how far it goes; what is noted is on disk."""
        self._file.flush()
        if self._latest is None:
            return
        os.fsync(self._file.fileno())
        reached, n_bytes = self._latest
        noted = {"of": self._of, "reached": reached, "bytes": n_bytes}
        with written_whole(self._note, "--output") as file:
            file.write(json.dumps(noted, ensure_ascii=False).encode("utf-8"))
        self._noted_at = time.monotonic()

    def _unwritable(self, exc: OSError) -> BatcherError:
        return BatcherError(f"--output {self._place}: cannot be written: {exc.strerror or exc}")
