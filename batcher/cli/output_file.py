"""The output of a command: stdout, or a file that appears whole or not at all.

Called by the commands that write results. After an error or a signal no incomplete file is left.
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
    """Open stdout, or a file that is written next to its place and then renamed.

    Devices and pipes are written directly.

    Args:
        output: the file; None for stdout.

    Raises:
        SettingsError: it is the ledger, an input or a database.
        StdoutClosed: the reader of the pipe has gone.
        BatcherError: it cannot be written.
    """
    try:
        if output is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif is_stream(output):
            with output.open("wb") as file:
                yield file
        else:
            with written_whole(output.resolve(), "--output") as file:
                yield file
    except BrokenPipeError as exc:
        raise StdoutClosed(f"--output {output}: the reader has closed it") from exc
    except OSError as exc:
        place = "stdout" if output is None else f"--output {output}"
        raise BatcherError(f"{place}: cannot be written: {exc.strerror or exc}") from exc


def is_stream(output: Path) -> bool:
    """Whether an output is a device or a pipe, which is written directly."""
    return output.exists() and not output.is_file() and not output.is_dir()


def folder_of(output: Path | None) -> Path | None:
    """The folder of a file, for temporary files on the same disk; None if there is no such folder."""
    folder = None if output is None else output.resolve().parent
    return folder if folder is not None and folder.is_dir() else None


@contextmanager
def waiting_room(output: Path | None) -> Iterator[Path]:
    """Make a folder for temporary files on the disk of the output, removed afterwards."""
    with tempfile.TemporaryDirectory(
        prefix=".batcher.", dir=folder_of(output), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
