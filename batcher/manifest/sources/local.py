"""The bytes of a manifest: a file, a pipe, or standard input.

The first step of file → text → cells → rows; opened by :mod:`batcher.manifest.reader`. Errors of the
operating system are translated here and nowhere else. The meaning of the bytes is up to the later steps.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from batcher.errors import ManifestError
from batcher.files import absolute, reason_of

BLOCK_BYTES = 1 << 18
"""The bytes of one read on the way to rows."""
CHECK_BYTES = 1 << 20
"""The bytes of one read when a file is only checked."""


class Readable(Protocol):
    """A file or a stream of bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Up to ``size`` bytes; empty at the end."""

    def close(self) -> None:
        """Close it."""


class Unread(ManifestError):
    """The rest cannot be read. The step that counts lines or rows adds the place with :meth:`at`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self._reason = reason

    def at(self, where: str) -> ManifestError:
        """Return the error with the line or row."""
        return ManifestError(f"{where}: {self._reason}")


class Source(ABC):
    """An open manifest, as bytes.

    ``name`` is its name in messages. ``checkable`` is true when its bytes can be read twice.
    """

    def __init__(self, name: str, *, checkable: bool) -> None:
        self.name = name
        self.checkable = checkable
        self._ahead = b""
        self._spooled: BinaryIO | None = None

    @abstractmethod
    def _pull(self) -> bytes:
        """Return the next bytes; empty at the end."""

    def peek(self, size: int) -> bytes:
        """Return at least the first ``size`` bytes, if there are that many, without consuming them.

        Raises:
            ManifestError: they cannot be read.
        """
        while len(self._ahead) < size and (more := self._pull()):
            self._ahead += more
        return self._ahead

    def read(self) -> bytes:
        """Return the next bytes; empty at the end.

        Raises:
            ManifestError: they cannot be read.
        """
        if self._ahead:
            block, self._ahead = self._ahead, b""
            return block
        return self._pull()

    def all_blocks(self) -> Iterator[bytes]:
        """Yield all bytes from the first one on, without disturbing :meth:`read`. Only when ``checkable``.

        Raises:
            ManifestError: they cannot be read.
        """
        raise NotImplementedError("a stream can be read once only")

    def seekable(self) -> BinaryIO:
        """Return all bytes as a file that can be read in any order. Nothing may have been read before.

        A stream is written to a temporary file first. The file is closed with this source.

        Raises:
            ManifestError: they cannot be read, or not stored.
        """
        try:
            self._spooled = spool = tempfile.TemporaryFile(prefix="batcher-")  # noqa: SIM115 - see close
            while block := self.read():
                spool.write(block)
            spool.seek(0)
        except OSError as exc:
            raise ManifestError(
                f"{self.name}: this format is read in any order, so it is copied to a temporary file first, "
                f"which failed: {reason_of(exc, to='write')}. TMPDIR names the folder"
            ) from exc
        return spool

    def has_changed(self) -> bool:
        """Whether the bytes that were read are no longer those of the file. A stream never changes."""
        return False

    def close(self) -> None:
        """Close what was opened here."""
        if self._spooled is not None:
            self._spooled.close()


class LocalSource(Source):
    """A file, a named pipe, or standard input."""

    def __init__(self, name: str, file: Readable, *, owned: bool, descriptor: int | None = None) -> None:
        super().__init__(name, checkable=descriptor is not None)
        self._file = file
        self._owned = owned
        self._descriptor = descriptor
        # A read from a pipe returns what is there: rows must not wait until a block is full.
        self._read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)
        self._opened_as = None if descriptor is None else _size_and_time(descriptor)
        self._bytes_read, self._checksum = 0, 0

    def _pull(self) -> bytes:
        try:
            block = self._read(BLOCK_BYTES) or b""
        except (OSError, ValueError) as exc:
            raise _translated(self.name, exc) from exc
        if self._opened_as is not None:
            self._bytes_read, self._checksum = (
                self._bytes_read + len(block),
                zlib.crc32(block, self._checksum),
            )
        return block

    def has_changed(self) -> bool:
        """Whether a file became shorter or was rewritten since it was opened. More at its end is no change,
        unless it is read in any order."""
        if self._descriptor is None or self._opened_as is None:
            return False
        try:
            now = _size_and_time(self._descriptor)
        except OSError:
            return False  # closed
        if now == self._opened_as:
            return False
        if now[0] < self._opened_as[0] or self._spooled is not None:
            return True
        return _checksum_of(self.all_blocks(), self._bytes_read) != self._checksum

    def all_blocks(self) -> Iterator[bytes]:
        """Yield all bytes of a file, without disturbing :meth:`read`."""
        assert self._descriptor is not None, "a stream can be read once only"
        offset = 0
        while True:
            try:
                block = os.pread(self._descriptor, CHECK_BYTES, offset)
            except OSError as exc:
                raise _translated(self.name, exc) from exc
            if not block:
                return
            offset += len(block)
            yield block

    def seekable(self) -> BinaryIO:
        """Return the file itself; a stream's bytes in a temporary one."""
        if self._descriptor is None:
            return super().seekable()
        self._spooled = open(self._descriptor, "rb", closefd=False)  # noqa: SIM115 - a descriptor
        self._spooled.seek(0)
        return self._spooled

    def close(self) -> None:
        """Close what was opened here; standard input stays open."""
        super().close()
        if self._owned:
            self._file.close()


def _size_and_time(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _checksum_of(blocks: Iterator[bytes], size: int) -> int:
    """Return the checksum of the first bytes."""
    checksum = 0
    for block in blocks:
        checksum = zlib.crc32(block[:size], checksum)
        size -= min(size, len(block))
        if not size:
            break
    return checksum


def open_local(source: str, stdin: BinaryIO | None) -> Source:
    """Open a file by its name; ``-`` is standard input.

    Raises:
        ManifestError: there is no such file, or it cannot be read.
    """
    if source == "-":
        return LocalSource("stdin", _stdin() if stdin is None else stdin, owned=False)
    try:
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed by Source.close
    except (OSError, ValueError) as exc:
        raise _translated(source, exc) from exc
    regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    return LocalSource(source, file, owned=True, descriptor=file.fileno() if regular else None)


def _stdin() -> Readable:
    """Open standard input without a buffer: a thread that waits in a buffered read blocks the exit."""
    try:
        return open(0, "rb", buffering=0, closefd=False)
    except OSError as exc:
        raise _translated("stdin", exc) from exc


def _translated(name: str, exc: OSError | ValueError) -> ManifestError:
    match exc:
        case FileNotFoundError() if any(mark in name for mark in "*?["):
            text = "no file matches this pattern"
        case FileNotFoundError() | NotADirectoryError():
            text = "there is no such file"
        case IsADirectoryError():
            text = f"this is a directory. Name its files, or a pattern such as {name.rstrip('/')}/*.csv"
        case _:
            text = reason_of(exc, name, to="read")
    shown = name if name in ("-", "stdin") else absolute(name) if name else "(an empty name)"
    return ManifestError(f"{shown}: {text}")
