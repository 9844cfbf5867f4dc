"""Notes on cancellations: each says what was stopped. Used by the other modules of the library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noting_cancellation(where: str) -> Iterator[None]:
    """Add a note to a cancellation of the block: what was stopped, and how to resume it."""
    try:
        yield
    except asyncio.CancelledError as exc:
        exc.add_note(where)
        raise
