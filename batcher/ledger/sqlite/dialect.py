"""SQLite's spelling of the ledger's statements and parameters.

Called by the connection for every statement. Statements use the names of PostgreSQL's JSON functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

_RECORDSET = re.compile(r"json_to_recordset\((?P<items>:\w+)\) AS (?P<alias>\w+) \((?P<columns>[^)]*)\)")

_FUNCTIONS = (("json_array_elements_text(", "json_each("), ("json_agg(", "json_group_array("))


@lru_cache(maxsize=1_000)
def translated_statement(statement: str) -> str:
    """Return a statement as SQLite takes it."""
    statement = _RECORDSET.sub(_subquery, statement)
    for theirs, ours in _FUNCTIONS:
        statement = statement.replace(theirs, ours)
    return statement


def _subquery(match: re.Match[str]) -> str:
    names = [column.split()[0] for column in match["columns"].split(",")]
    columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
    return f"(SELECT {columns} FROM json_each({match['items']})) AS {match['alias']}"  # noqa: S608 - ours


def storable(value: object) -> object:
    """Return a parameter as SQLite takes it: lists as JSON, text without half characters.

    Only names of files that are not UTF-8 contain half characters (lone surrogates). They become escapes.
    """
    if isinstance(value, str):
        return value if value.isascii() else _whole(value)
    if isinstance(value, list | tuple):
        text = json.dumps(value)
        return json.dumps(_whole_texts(value)) if "\\ud" in text else text
    return value


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _whole_texts(value: object) -> object:
    match value:
        case str():
            return _whole(value)
        case list() | tuple():
            return [_whole_texts(item) for item in value]
        case Mapping():
            return {name: _whole_texts(item) for name, item in value.items()}
        case _:
            return value
