"""SQLite's spelling of the ledger's statements and parameters.

Called by the connection for every statement. Statements use the names of PostgreSQL's JSON functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

from batcher.ledger.whole_text import each_text, without_half_characters

_Columns = Callable[[Any], tuple[object, ...]]
"""Returns the values of a row in the order of a statement's columns, of which there are several."""

_RECORDSET = re.compile(r"json_to_recordset\(:(?P<items>\w+)\) AS (?P<alias>\w+) \((?P<columns>[^)]*)\)")

_FUNCTIONS = (("json_array_elements_text(", "json_each("), ("json_agg(", "json_group_array("))


def in_sqlite(statement: str, values: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Return a statement and its parameters as SQLite takes them.

    Rows that are handed over as a list go to SQLite as arrays in the order of the statement's columns: it
    finds a value by its place faster than by its name. Rows that are JSON text already stay objects.
    """
    lists = frozenset(name for name, value in values.items() if isinstance(value, list | tuple))
    text, columns = _translated(statement, lists)
    return text, {name: _storable(value, columns.get(name)) for name, value in values.items()}


@lru_cache(maxsize=1_000)
def _translated(statement: str, lists: frozenset[str]) -> tuple[str, dict[str, _Columns]]:
    """Return a statement's text, and the columns of its parameters that are lists of rows."""
    columns: dict[str, _Columns] = {}

    def subquery(match: re.Match[str]) -> str:
        items, names = match["items"], [column.split()[0] for column in match["columns"].split(",")]
        places = [f"$.{name}" for name in names]
        if items in lists:
            columns[items], places = itemgetter(*names), [f"$[{number}]" for number in range(len(names))]
        extracted = ", ".join(
            f"json_extract(value, '{place}') AS {name}" for place, name in zip(places, names, strict=True)
        )
        return f"(SELECT {extracted} FROM json_each(:{items})) AS {match['alias']}"  # noqa: S608 - ours

    text = _RECORDSET.sub(subquery, statement)
    for theirs, ours in _FUNCTIONS:
        text = text.replace(theirs, ours)
    return text, columns


def _storable(value: object, columns: _Columns | None) -> object:
    """Return a parameter as SQLite takes it: lists as JSON, text without half characters.

    Only names of files that are not UTF-8 contain half characters (lone surrogates). They become escapes.
    """
    if isinstance(value, str):
        return without_half_characters(value)
    if isinstance(value, list | tuple):
        if columns is not None:
            value = list(map(columns, value))
        text = json.dumps(value)
        return json.dumps(each_text(value, without_half_characters)) if "\\ud" in text else text
    return value
