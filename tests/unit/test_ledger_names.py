"""Ledgers as users name them: URLs of PostgreSQL that are read, refused, and shown without a password."""

from __future__ import annotations

import pytest

from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.model.ledger_name import PostgresName

SECRET = "s3cr3t"  # noqa: S105 - of no server


def test_url_is_shown_without_its_password() -> None:
    """The user and the other parameters stay, so that a suggested command can be pasted."""
    name = ledger_named(f"postgresql://batcher:{SECRET}@db:5433/archive?schema=shop&sslmode=verify-full")
    assert isinstance(name, PostgresName)
    assert str(name) == "postgresql://batcher@db:5433/archive?schema=shop&sslmode=verify-full"
    assert SECRET not in repr(name)
    assert name.parameters["password"] == SECRET


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://batcher:p@{SECRET}@db/archive",
        f"postgresql://batcher:p@{SECRET}/x@db/archive?schema=shop",
        f"postgresql://batcher:{SECRET}@db/archive?schema=a&schema=b",
        f"postgresql://batcher:{SECRET}@db/archive?pgbouncer=maybe",
        f"postgresql://batcher:{SECRET}@db/archive?schema=pg_own",
        f"postgresql://batcher:{SECRET}@db/archive?schema=information_schema",
        f"postgresql://batcher:{SECRET}@db/archive?schema=Bad Name",
        f"mysql://batcher:{SECRET}@db/archive",
    ],
)
def test_url_that_cannot_be_meant_is_refused_without_showing_the_password(url: str) -> None:
    """A password with signs that are not escaped would be taken for a host, and shown."""
    with pytest.raises(SettingsError) as refused:
        ledger_named(url)
    assert SECRET not in str(refused.value)
