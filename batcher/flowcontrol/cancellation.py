"""Cancellation: notes that say what was stopped, and work that ends with the block beside it.

Used by the library and by the flows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")


@contextmanager
def noting_cancellation(where: str) -> Iterator[None]:
    """Add a note to a cancellation of the block: what was stopped, and how to resume it."""
    try:
        yield
    except asyncio.CancelledError as exc:
        exc.add_note(where)
        raise


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, _T], name: str) -> AsyncIterator[asyncio.Task[_T]]:
    """Do work beside the block; work that has not ended at the end of the block is cancelled."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
