"""The set-up of the standard streams, before anything else opens a file.

Called once, at the start of the command line. A stream that is closed is opened on the null device: otherwise
the next file or socket would get its descriptor, and libraries abort the process then. stdout raises our own
exceptions, so that one place turns them into exit codes, and escapes characters that its encoding lacks.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from batcher.errors import StdoutClosed, StdoutError
from batcher.files import reason_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class _Stdout(io.FileIO):
    """Descriptor 1. After its first failure it writes to the null device, so the failure is raised once."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes.

        Raises:
            StdoutClosed: the reader has closed the pipe.
            StdoutError: they cannot be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError as exc:
            _discard_stdout()
            raise StdoutClosed("the reader of stdout has closed it") from exc
        except OSError as exc:
            _discard_stdout()
            raise StdoutError(
                f"stdout cannot be written: {reason_of(exc, to='write')}, or send the output elsewhere"
            ) from exc


def open_standard_streams() -> None:
    """Open closed streams on the null device, and set up stdout."""
    for number in (_STDIN, _STDOUT, _STDERR):  # in this order: the lowest free number is used
        if not _is_open(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        _install("stdin", io.BufferedReader(io.FileIO(_STDIN, closefd=False)))
    if sys.stderr is None:
        _install("stderr", io.BufferedWriter(io.FileIO(_STDERR, "w", closefd=False)), write_through=True)
    before = sys.stdout
    if before is None:
        _install("stdout", _stdout())
    elif isinstance(before, io.TextIOWrapper) and _leads_to(before, _STDOUT):
        before.flush()
        _install(
            "stdout",
            _stdout(),
            encoding=before.encoding,
            line_buffering=bool(before.line_buffering),
            write_through=before.write_through,
        )


def _stdout() -> io.BufferedWriter:
    return io.BufferedWriter(_Stdout(_STDOUT, "w", closefd=False))


def _install(
    name: str,
    file: io.BufferedReader | io.BufferedWriter,
    *,
    encoding: str = "utf-8",
    line_buffering: bool = False,
    write_through: bool = False,
) -> None:
    """Install a file as one of the interpreter's standard streams."""
    stream = io.TextIOWrapper(
        file,
        encoding,
        errors="backslashreplace",
        newline="\n",
        line_buffering=line_buffering,
        write_through=write_through,
    )
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _leads_to(stream: io.TextIOWrapper, number: int) -> bool:
    """Whether a stream is the interpreter's own for a descriptor; programs and tests replace it."""
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


def _discard_stdout() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDOUT)
    os.close(null)
