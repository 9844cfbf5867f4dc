"""Detection of a forgotten option: the rows of a manifest lack the same parameter, and none of them is valid.

Called before a manifest is loaded, and before the results of its rows are exported. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batcher.errors import ManifestError
from batcher.manifest.columns import KnownColumn, meaning
from batcher.model.submission import CountedBy, InvalidRow, Row, source_name


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An option that every row lacks which has no other fault."""

    option: str
    others: int = 0
    """The number of rows with other faults."""
    first: InvalidRow | None = None
    """The first of those."""


def lacking_option(rows: Iterable[Row | InvalidRow]) -> Forgotten | None:
    """Return the option that was forgotten; None if a row is valid, or the rows lack different options.

    Rows with other faults do not decide: a wrong vendor in one row does not hide that all others have none.
    Only if there are no other rows, the option counts that all of them lack besides their faults. Stops at
    the first row that proves that no option was forgotten.
    """
    lacked, lacked_besides = "", set[str | None]()
    others, first = 0, None
    for row in rows:
        if isinstance(row, Row):
            return None
        if row.lacks and meaning(row.column) is not KnownColumn.FILE_ID:
            if row.lacks != (lacked or row.lacks):
                return None
            lacked = row.lacks
            continue
        others += 1
        first = first or row
        if row.lacks is not None:
            lacked_besides.add(row.lacks)
    if lacked:
        return Forgotten(lacked, others, first)
    besides = lacked_besides.pop() if len(lacked_besides) == 1 else ""
    return Forgotten(besides) if besides else None


def has_valid_row(rows: Iterable[Row | InvalidRow]) -> bool:
    """Whether some row can be sent, so that no option was forgotten."""
    return any(isinstance(row, Row) for row in rows)


def forgotten(source: str, found: Forgotten, counted_by: CountedBy, warnings: Sequence[str]) -> ManifestError:
    """Return the error of a manifest for which an option was forgotten.

    Args:
        source: its name.
        found: the option, and the rows with other faults.
        counted_by: how its rows are numbered.
        warnings: about its columns: one may be misspelt.
    """
    option = found.option
    name = "offsets" if option == "--offset" else option.removeprefix("--")
    except_for = ""
    if found.first is not None:
        first = f"{counted_by.numbered(found.first.line)}, {found.first.column}: {found.first.reason}"
        rows = "1 row with another fault" if found.others == 1 else f"{found.others:,} rows with other faults"
        except_for = f", except {rows} ({'' if found.others == 1 else 'first '}{first})"
    return ManifestError(
        f"{source_name(source)}: every row lacks {name}{except_for}. Give {option}, or add a column of that "
        "name",
        *warnings,
    )
