"""Named pipes that cannot keep a test waiting for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named_pipe(path: Path) -> Iterator[Path]:
    """A named pipe; at the end every thread that waits for its other side is released."""
    os.mkfifo(path)
    try:
        yield path
    finally:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
