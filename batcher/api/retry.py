"""Putting settled submissions back in the queue. Called by ``batcher retry`` and programs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from batcher.api.locks import PROGRAM, locked_ledger
from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.ledger.database import database_of
from batcher.model.events import OnEvent, ignore_event
from batcher.model.submission import State

RETRIED = (State.FAILED, State.REJECTED)
"""The states put back when none is named."""

RETRIABLE = (*RETRIED, State.IN_DOUBT)


async def retry(
    path: str | os.PathLike[str],
    states: Sequence[State] = RETRIED,
    *,
    codes: Sequence[int] = (),
    wait_s: float | None = None,
    sender: str = PROGRAM,
    on_event: OnEvent = ignore_event,
) -> int:
    """Put settled submissions back in the queue with a fresh budget of tries; send nothing.

    Args:
        path: the ledger's file.
        states: which submissions; those in doubt may be paid for twice.
        codes: only those with one of these last codes.
        wait_s: how long to wait for a run that holds the ledger; None to raise immediately.
        sender: how other processes name this one.
        on_event: called when there is something to wait for.

    Returns:
        How many were put back.

    Raises:
        SettingsError: a state that nothing is put back from.
        LedgerBusy: a run holds the ledger.
        LedgerError: there is no ledger, or it cannot be written.
    """
    check_states(states)
    place = ledger_named(path)
    database_of(place).check_there()
    async with locked_ledger(place, sender, wait_s, on_event) as ledger:
        return await ledger.retry(states, codes)


def check_states(states: Sequence[State]) -> None:
    """Refuse states that nothing is put back from.

    Raises:
        SettingsError: there is one.
    """
    if wrong := set(states) - set(RETRIABLE):
        raise SettingsError(f"states: {', '.join(sorted(wrong))}: give failed, rejected or in_doubt")
