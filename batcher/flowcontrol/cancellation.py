"""Cancellations: what they stopped. Used by waits and by the modules of the library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noting_cancellation(where: str) -> Iterator[None]:
    """Add a note to a cancellation that strikes the block: what was stopped, and what that means."""
    try:
        yield
    except asyncio.CancelledError as exc:
        exc.add_note(where)
        raise
