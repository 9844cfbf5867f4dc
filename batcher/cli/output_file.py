"""Where results go: a file that comes into being whole, or stdout; and what a signal does to either.

Between the commands that write and the disk. Whatever ends such a command, short of a kill, no half
of a file stays behind. It never knows what is written.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batcher.errors import BatcherError, StdoutClosed
from batcher.output_files import written_whole


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file written beside its place and then renamed; devices and pipes are written into.

    Raises:
        SettingsError: it is the ledger, an input or a database.
        BatcherError: it cannot be written.
    """
    try:
        if output is None:
            yield from _stdout()
        elif output.exists() and not output.is_file() and not output.is_dir():
            with output.open("wb") as file:
                yield file
        else:
            with written_whole(output.resolve(), "--output") as file:
                yield file
    except BrokenPipeError as exc:
        raise StdoutClosed(f"--output {output} is not read any more") from exc
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
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
