"""The output of a command: stdout, or a file that appears whole or not at all.

Called by the commands that write results. After an error or a signal no incomplete file is left.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batcher.errors import StdoutClosed
from batcher.files import absolute, is_folder, is_special, unwritable
from batcher.output_files import written_whole


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """Open stdout, or a file that is written next to its place and then renamed.

    Devices and pipes are written directly.

    Args:
        output: the file; None for stdout.

    Raises:
        StdoutClosed: the reader of the pipe has gone.
        SettingsError: it is the ledger, an input or a database, or cannot be written there.
        SystemFault: the disk is full, or fails.
    """
    try:
        if output is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif is_special(output):
            with output.open("wb") as file:
                yield file
        else:
            with written_whole(output.resolve(), "--output") as file:
                yield file
    except BrokenPipeError as exc:
        raise StdoutClosed(f"--output {output}: the reader has closed it") from exc
    except OSError as exc:
        if output is None or (exc.filename is not None and not _is_beside(exc.filename, output)):
            raise  # a fault of another file, which the block reads
        raise unwritable(exc, f"--output {absolute(output)}", output) from exc


def _is_beside(name: str | bytes, output: Path) -> bool:
    """Whether a file named in an error is the output, or the temporary one next to it."""
    return Path(os.fsdecode(name)).parent == output.resolve().parent


def folder_of(output: Path | None) -> Path | None:
    """The folder of a file, for temporary files on the same disk; None if there is no such folder."""
    folder = None if output is None else output.resolve().parent
    return folder if folder is not None and is_folder(folder) else None


@contextmanager
def waiting_room(output: Path | None) -> Iterator[Path]:
    """Make a folder for temporary files on the disk of the output, removed afterwards."""
    with tempfile.TemporaryDirectory(
        prefix=".batcher.", dir=folder_of(output), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
