"""PostgreSQL's spelling of the ledger's statements and parameters.

Called by the connection for every statement. The statements are PostgreSQL's already; the driver wants its
own signs for parameters, and lists become JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

from batcher.ledger.whole_text import each_text, without_nul

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
        return without_nul(str(value))
    if isinstance(value, list | tuple):
        text = json.dumps(value)
        broken = "\\ud" in text or "\\u0000" in text
        return json.dumps(each_text(value, without_nul)) if broken else text
    return value
