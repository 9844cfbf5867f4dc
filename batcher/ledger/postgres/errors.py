"""PostgreSQL's errors as errors of the ledger, with the remedy. None of them shows a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from batcher.errors import (
    BatcherError,
    IllegalMove,
    LedgerError,
    LedgerLocked,
    LedgerUnreachable,
    NotALedger,
    SettingsError,
)
from batcher.model.ledger_name import PostgresName

READ_ONLY = "the server is read-only: a standby, or a session set so; name the primary server"

_REMEDIES = {
    "28P01": "the password is wrong; set PGPASSWORD, or correct ~/.pgpass",
    "28000": "the server does not let this user in; see its pg_hba.conf",
    "3D000": "there is no such database; create it (createdb NAME), or correct the URL",
    "42501": "this user may not do that; let the owner of the schema or of the database grant the right",
    "53100": "the server's disk is full; free some space there, then run again",
    "25006": READ_ONLY,
    "53300": "the server has no connection left; raise max_connections, or close others",
}
"""What to do about an error, by its SQLSTATE."""

_REFUSALS = {
    "no password supplied": "the server wants a password; set PGPASSWORD, or keep it in ~/.pgpass",
    "password authentication failed": "the password is wrong; set PGPASSWORD, or correct ~/.pgpass",
    "does not exist": "there is no such database or role; create it, or correct the URL",
    "no pg_hba.conf entry": "the server does not let this user in; see its pg_hba.conf",
    "does not support SSL": "the server has no TLS; switch it on there, or use another sslmode",
    "certificate": "the server's certificate cannot be verified; see sslmode and sslrootcert in the URL",
    "not permitted to log in": "this role may not log in; give it LOGIN, or use another user",
}
"""What to do about a refused connection, by the server's words: such an error has no SQLSTATE here."""

_FULL = ("too many connections", "too many clients", "remaining connection slots")

_WRONG_URL = (
    "invalid connection option",
    "invalid sslmode",
    "invalid URI",
    "invalid integer value",
    "invalid port",
)
"""The words of the driver for a parameter that it cannot read."""

_PASSING = ("25006", "53300")
"""Of these, the ones that another connection may not meet."""

_RETRIED = ("08", "57P", "25P03")
"""The beginnings of SQLSTATEs of connections that are gone and of a server that stops or starts."""


@contextmanager
def translated(name: PostgresName) -> Iterator[None]:
    """Turn the driver's exceptions into a :class:`LedgerError` that says what to do."""
    try:
        yield
    except psycopg.IntegrityError as exc:
        raise IllegalMove(f"{name}: {_words(exc)}") from exc
    except psycopg.Error as exc:
        raise _translated(name, exc) from exc


def _translated(name: PostgresName, error: psycopg.Error) -> BatcherError:
    state = error.sqlstate or ""
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.QueryCanceled):
        return LedgerLocked(f"{name}: the ledger is locked by another session: {_words(error)}")
    if isinstance(error, errors.UndefinedTable):
        return NotALedger(f"{name}: this schema is not a ledger; choose another schema")
    if remedy := _REMEDIES.get(state):
        kind = LedgerUnreachable if state in _PASSING else LedgerError
        return kind(f"{name}: the ledger cannot be used: {remedy}")
    if not state and any(words in str(error) for words in _WRONG_URL):
        return SettingsError(
            f"--ledger {name}: the URL has a parameter that the driver cannot read: {_words(error)}"
        )
    if not state and any(words in str(error) for words in _FULL):
        return LedgerUnreachable(f"{name}: the ledger cannot be used: {_REMEDIES['53300']}")
    refusals = [why for words, why in _REFUSALS.items() if not state and words in str(error)]
    if refusals:
        return LedgerError(f"{name}: the ledger cannot be used: {refusals[0]}")
    if state.startswith(_RETRIED) or (isinstance(error, psycopg.OperationalError) and not state):
        why = _words(error)
        return LedgerUnreachable(f"{name}: the ledger cannot be reached: {why}. See that the server runs")
    return LedgerError(f"{name}: the ledger cannot be used: {type(error).__name__}: {_words(error)}")


def _words(error: psycopg.Error) -> str:
    """Return the server's words in one line."""
    said = error.diag.message_primary or str(error)
    return re.sub(r"\s+", " ", said).strip().rstrip(".?")
