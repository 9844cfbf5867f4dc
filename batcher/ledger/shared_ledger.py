"""A ledger opened beside a run: by who follows what was sent, and sends nothing.

The run's lock is for sending alone. What is written here is short transactions that wait their turn among the
run's; each says which state it moves from, so that neither writes over the other. A file that another program
has locked is waited for, however long that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import time
from typing import Any, Self, TypeVar

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncEngine

from batcher.errors import LedgerLocked
from batcher.ledger.reader import LedgerReader, connect_reader
from batcher.ledger.sqlite.connection import connect_writer
from batcher.ledger.sqlite.disk import LedgerDisk
from batcher.ledger.writer import Event, Writer
from batcher.model.events import LedgerHeld, OnEvent, ignore_event

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


class _SharedDisk(LedgerDisk):
    """The disk under a ledger whose room set aside is a run's, and not ours to give back."""

    def give_room(self) -> None:
        """Leave it to the run."""


class SharedLedger(LedgerReader):
    """A ledger to read, and to write to while a run may be going on. Open it with :meth:`open`.

    What is kept beside a run derives from this: one method per business event, as in the run's own.
    """

    def __init__(self, reading: AsyncEngine, path: Path, clock: Callable[[], float] = time) -> None:
        super().__init__(reading, path)
        self._writing = connect_writer(path)
        self._on_event: OnEvent = ignore_event
        self._writer = Writer(self._writing, path, _SharedDisk(path), held=self._held)
        self._clock = clock

    @classmethod
    async def open(cls, path: Path, on_event: OnEvent = ignore_event) -> Self:
        """Open an existing ledger, upgrading an older one's schema first.

        Args:
            path: the ledger.
            on_event: told when another program has locked the file.

        Raises:
            LedgerError: there is none, it is none, it is from a newer version, or it cannot be used.
            LedgerBusy: it must be upgraded and a run of an older version holds it.
        """
        ledger = cls(await connect_reader(path), path)
        ledger._on_event = on_event
        try:
            await ledger._writer.start()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def close(self) -> None:
        """Write what waits, and let go of the file."""
        await self._writer.close()
        await super().close()
        self._writing.dispose()

    def _held(self) -> None:
        self._on_event(LedgerHeld(str(self.path)))

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        said = False
        while True:
            try:
                return await super()._rows(query)
            except LedgerLocked:
                if not said:
                    self._held()
                said = True

    async def _record(self, event: Event[I, R], item: I) -> R:
        """Have something recorded that has happened; on disk when this returns.

        Raises:
            LedgerError: it is not on disk.
        """
        return await self._writer.record(event, item, known=True)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
