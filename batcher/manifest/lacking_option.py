"""Detection of a forgotten option: every row of a manifest lacks the same parameter.

Called before a manifest is loaded, and before the results of its rows are exported. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batcher.errors import ManifestError
from batcher.model.submission import InvalidRow, Row, source_name


def lacking_option(rows: Iterable[Row | InvalidRow]) -> str:
    """Return the option that every row lacks; empty when there is none. Stops at the first row without it."""
    lacked = ""
    for option in _lacks(rows):
        if not option or option != (lacked or option):
            return ""
        lacked = option
    return lacked


def forgotten(source: str, option: str, warnings: Sequence[str]) -> ManifestError:
    """Return the error of a manifest whose rows all lack an option.

    Args:
        source: its name.
        option: the option.
        warnings: about its columns: one may be misspelt.
    """
    name = "offsets" if option == "--offset" else option.removeprefix("--")
    return ManifestError(
        f"{source_name(source)}: every row lacks {name}. Give {option}, or add a column of that name",
        *warnings,
    )


def _lacks(rows: Iterable[Row | InvalidRow]) -> Iterator[str]:
    """Yield for each row the option it lacks, empty for none; rows whose parameters were not read have no
    say."""
    for row in rows:
        if isinstance(row, Row):
            yield ""
        elif row.lacks is not None:
            yield row.lacks
