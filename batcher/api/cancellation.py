"""Work that a cancellation must not tear apart. Used wherever the library drains or closes something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


async def wait_through_cancellation(
    task: asyncio.Task[_T], when_cancelled: Callable[[], None] = lambda: None
) -> asyncio.CancelledError | None:
    """Wait for a task that is not cancelled with its waiter.

    Args:
        task: to wait for; its result or error stays in it.
        when_cancelled: called at each cancellation of the waiter.

    Returns:
        The last cancellation, for the caller to raise; None when there was none.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
            when_cancelled()
    return cancelled


async def finish(work: Coroutine[object, object, _T]) -> _T:
    """Do something whole; a cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    cancelled = await wait_through_cancellation(task)
    if cancelled is not None:
        raise cancelled
    return task.result()


@contextmanager
def noting_cancellation(where: str) -> Iterator[None]:
    """Add a note to a cancellation that strikes the block: what was stopped, and what that means."""
    try:
        yield
    except asyncio.CancelledError as exc:
        exc.add_note(where)
        raise
