"""Duties on a ledger in PostgreSQL: held once, also within one process."""

from __future__ import annotations

import pytest

from batcher.config.ledger_names import ledger_named
from batcher.errors import LedgerBusy, LedgerError
from batcher.ledger.holding import LockClient, Purpose
from batcher.ledger.postgres.connection import PostgresConnection
from batcher.ledger.postgres.database import PostgresDatabase
from batcher.model.ledger_name import PostgresName


@pytest.fixture
def database(schema_url: str) -> PostgresDatabase:
    """A schema without a ledger."""
    name = ledger_named(schema_url)
    assert isinstance(name, PostgresName)
    return PostgresDatabase(name)


async def test_duty_that_is_held_is_refused_to_the_same_process(database: PostgresDatabase) -> None:
    """A second program within the process is another client; after a release it gets the duty."""
    with (
        await database.take(LockClient("batcher track", purpose=Purpose.TRACKING)),
        pytest.raises(LedgerBusy, match="batcher track"),
    ):
        await database.take(LockClient(purpose=Purpose.TRACKING))
    (await database.take(LockClient(purpose=Purpose.TRACKING))).release()


async def test_duty_whose_release_was_lost_is_taken_again_at_once(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process knows that it has given the duty up, whatever the server has on record."""
    held = await database.take(LockClient(purpose=Purpose.TRACKING))

    def lost(*_: object, **__: object) -> int:
        raise LedgerError("the server has gone away")

    with monkeypatch.context() as broken:
        broken.setattr(PostgresConnection, "run", lost)
        held.release()
    (await database.take(LockClient(purpose=Purpose.TRACKING))).release()
