"""Where a manifest's bytes come from: a file, something that can be read once, or standard input.

First step of the way file → text → cells → rows. Every error of the operating system met on it
is translated here and nowhere else. Never looks at what the bytes mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from batcher.errors import ManifestError

BLOCK_BYTES = 1 << 18
"""How much is read at once on the way to rows."""
CHECK_BYTES = 1 << 20
"""How much is read at once when a file is only checked."""


class Readable(Protocol):
    """What is asked of a file or a stream of bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Up to ``size`` bytes; empty at the end."""

    def close(self) -> None:
        """Let go of it."""


class Source:
    """An open manifest, as bytes.

    ``name`` is what messages call it. ``checkable`` says whether its bytes can be read twice.
    """

    def __init__(self, name: str, file: Readable, *, owned: bool, descriptor: int | None = None) -> None:
        self.name = name
        self.checkable = descriptor is not None
        self._file = file
        self._owned = owned
        self._descriptor = descriptor
        # A pipe hands over what it has: rows must not wait until a whole block has come together.
        self._read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)

    def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            ManifestError: they cannot be read.
        """
        try:
            return self._read(BLOCK_BYTES) or b""
        except (OSError, ValueError) as exc:
            raise _translated(self.name, exc) from exc

    def all_blocks(self) -> Iterator[bytes]:
        """All bytes from the first one on, without disturbing :meth:`read`. Only when ``checkable``.

        Raises:
            ManifestError: they cannot be read.
        """
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

    def close(self) -> None:
        """Close what was opened here; standard input stays open."""
        if self._owned:
            self._file.close()


def open_source(source: str, stdin: BinaryIO | None) -> Source:
    """Open what the user named; ``-`` is standard input.

    Raises:
        ManifestError: there is nothing there, or it cannot be read.
    """
    if source == "-":
        return Source("stdin", _stdin() if stdin is None else stdin, owned=False)
    try:
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed by Source.close
    except (OSError, ValueError) as exc:
        raise _translated(source, exc) from exc
    regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    return Source(source, file, owned=True, descriptor=file.fileno() if regular else None)


def _stdin() -> Readable:
    """Standard input without a buffer: a thread that waits in a buffered read cannot be left behind."""
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
        case PermissionError():
            text = "this user may not read it. Change its permissions or run as its owner"
        case OSError():
            text = f"cannot be read: {exc.strerror or exc}"
        case _:
            text = f"cannot be read: {exc}"
    return ManifestError(f"{name or '(an empty name)'}: {text}")
