"""A client in memory: the calls of a run answered without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from batcher.model.outcome import Answer, Outcome
from batcher.model.submission import FileId, Parameters, TaskId
from batcher.zego.client import Wire


def accepted(number: int) -> Outcome:
    """A task id of its own for each request."""
    return Answer(0, task_id=TaskId(f"task-{number}"))


class MemoryClient:
    """Answers each request by its number, counted from 1, once answers are released.

    Args:
        answer: the outcome of a request.
        held: answers wait until :meth:`release`.
    """

    def __init__(self, answer: Callable[[int], Outcome] = accepted, *, held: bool = False) -> None:
        self._answer = answer
        self._released = asyncio.Event()
        if not held:
            self._released.set()
        self._arrived = asyncio.Condition()
        self.requests: list[FileId] = []

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Take a request, and answer it."""
        del asked
        assert on_wire is not None
        await on_wire.leaves()
        on_wire.left(None)
        async with self._arrived:
            self.requests.append(file_id)
            number = len(self.requests)
            self._arrived.notify_all()
        await self._released.wait()
        return self._answer(number)

    async def probe(self, may_leave: Callable[[], Awaitable[bool]] | None = None) -> Outcome:
        """Answer that account and endpoint are well."""
        del may_leave
        return Answer(2)

    async def arrived(self, requests: int) -> None:
        """Wait until this many requests have arrived."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= requests)

    def release(self) -> None:
        """Answer the requests that have arrived, and all that follow."""
        self._released.set()
