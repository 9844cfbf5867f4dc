"""PostgreSQL's spelling of the ledger's statements and parameters.

Called by the connection for every statement. The statements are PostgreSQL's already; the driver wants its
own signs for parameters, and lists become JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

_PARAMETER = re.compile(r"'[^']*'|(?<![:\w]):(?P<name>[a-z_]\w*)|%")


def in_postgres(statement: str, values: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Return a statement and its parameters as psycopg takes them."""
    return _translated(statement), {name: _storable(value) for name, value in values.items()}


@lru_cache(maxsize=1_000)
def _translated(statement: str) -> str:
    def spelled(match: re.Match[str]) -> str:
        if name := match["name"]:
            return f"%({name})s"
        return match[0].replace("%", "%%")

    return _PARAMETER.sub(spelled, statement)


def _storable(value: object) -> object:
    """Return a parameter as PostgreSQL takes it: lists as JSON, text without NUL and half characters.

    Only names of files that are not UTF-8 contain half characters (lone surrogates). Both become escapes.
    """
    if isinstance(value, str):
        return whole_text(str(value))
    if isinstance(value, list | tuple):
        text = json.dumps(value)
        return json.dumps(_whole_texts(value)) if "\\ud" in text or "\\u0000" in text else text
    return value


def whole_text(text: str) -> str:
    """Return a text without NUL and half characters."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00") if "\0" in text else text


def _whole_texts(value: object) -> object:
    match value:
        case str():
            return whole_text(value)
        case list() | tuple():
            return [_whole_texts(item) for item in value]
        case dict():
            return {key: _whole_texts(item) for key, item in value.items()}
        case _:
            return value
