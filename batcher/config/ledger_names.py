"""Names of ledgers as users give them: a path, or the URL of a schema in PostgreSQL.

Called wherever a user or a program names a ledger.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlencode

from batcher.config.paths import path_problem
from batcher.errors import SettingsError
from batcher.model.ledger_name import LedgerName, PostgresName

POSTGRES_SCHEMES = ("postgresql", "postgres")

DEFAULT_SCHEMA = "batcher"
"""The schema of a URL that names none."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


_SECRET_PARAMETERS = ("password", "sslpassword")
"""Parameters of a URL that are not shown."""

AnyLedger = str | os.PathLike[str] | PostgresName
"""A ledger as users and programs name it."""


def ledger_named(ledger: AnyLedger) -> LedgerName:
    """Return the ledger that a path or a URL names; a path becomes absolute, with symbolic links resolved.

    Raises:
        SettingsError: the URL cannot be read or names another kind of database; or the path surely was not
            meant.
    """
    if isinstance(ledger, PostgresName):
        return ledger
    text = os.fspath(ledger)
    if "://" in text:
        scheme = text.partition("://")[0].partition("+")[0].lower()
        if scheme in POSTGRES_SCHEMES:
            return _postgres_name(text)
        text = _sqlite_path(text)
    if problem := path_problem(text):
        raise SettingsError(f"--ledger {text}: {problem}")
    try:
        return Path(text).resolve()
    except (OSError, RuntimeError) as exc:  # a loop of links, or a working directory that was removed
        raise SettingsError(f"--ledger {text}: this path leads nowhere; give another") from exc


def ledger_file(ledger: AnyLedger, command: str, instead: str) -> Path:
    """Return the file of a ledger, for a command that works on files.

    Args:
        ledger: its path or URL.
        command: the command, for the message.
        instead: what users of PostgreSQL do.

    Raises:
        SettingsError: the ledger is in PostgreSQL; and as for :func:`ledger_named`.
    """
    name = ledger_named(ledger)
    if isinstance(name, PostgresName):
        raise SettingsError(f"{name}: {command} is for ledgers in files, not in PostgreSQL. {instead}")
    return name


def _sqlite_path(text: str) -> str:
    from sqlalchemy import make_url  # slow to import, and needed for URLs alone
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except ArgumentError as exc:
        raise SettingsError("--ledger: this is not a database URL; give a path to a file") from exc
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise SettingsError(
            f"--ledger {url.render_as_string()}: a ledger is an SQLite file or a schema in PostgreSQL; give "
            "a path, sqlite:///PATH, or postgresql://USER@HOST/DATABASE?schema=NAME"
        )
    return url.database


def _single(key: str, value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{key} is given more than once")


_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

_UNREADABLE = (
    "--ledger: this URL cannot be read; write postgresql://USER@HOST/DATABASE?schema=NAME, each parameter "
    "once (pgbouncer=1 or nothing), and signs such as / or @ in a password as %2F or %40"
)


def _postgres_name(text: str) -> PostgresName:
    from sqlalchemy import make_url  # it reads URLs as libpq does, and has a place for each part
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.util import immutabledict

    try:
        if text.partition("?")[0].count("@") > 1:  # a part of the password would count as the host
            raise ValueError("there is more than one @")
        url = make_url(text)
        query = {key: _single(key, value) for key, value in url.query.items()}
        schema = query.pop("schema", DEFAULT_SCHEMA)
        through_pgbouncer = _SWITCH[query.pop("pgbouncer", "0")]
    except (ArgumentError, ValueError, KeyError) as exc:
        raise SettingsError(_UNREADABLE) from exc
    shown = {key: value for key, value in query.items() if key not in _SECRET_PARAMETERS}
    address = url._replace(drivername="postgresql", password=None, query=immutabledict()).render_as_string()
    if through_pgbouncer:
        shown["pgbouncer"] = "1"
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_") or schema == "information_schema":
        raise SettingsError(
            f"--ledger {address}: schema={schema}: a schema's name has small letters, digits and _, begins "
            "with no digit nor pg_, and has 63 characters at most"
        )
    given = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
    }
    known = {key: value for key, value in given.items() if value not in (None, "")}
    options = f"&{urlencode(shown)}" if shown else ""
    return PostgresName(address, schema, {**query, **known}, through_pgbouncer, options)
