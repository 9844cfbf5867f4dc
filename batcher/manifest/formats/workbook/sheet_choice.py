"""The sheet of a workbook that is meant, and the header in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from batcher.errors import ManifestError
from batcher.manifest.columns import BLANKS, names_file_id
from batcher.manifest.display import shown
from batcher.manifest.formats.workbook.cell_text import cell_text
from batcher.manifest.formats.workbook.sheet import Sheet, SheetRow

TITLE_ROWS = 20
"""The header is looked for in so many rows that are not blank: a sheet may begin with a title."""


class SheetHeader(NamedTuple):
    """The row that names the columns, or the first row of a sheet without such a row."""

    number: int
    cells: list[str]
    """Without blank ones at its end."""
    is_first: bool
    """Whether no row with content is above it."""
    has_file_id: bool


def find_header(rows: Iterable[SheetRow]) -> SheetHeader | None:
    """Return the header among the first rows; None when the sheet is empty."""
    first: SheetHeader | None = None
    texts = ((row.number, _trimmed(row)) for row in rows)
    for number, cells in islice((one for one in texts if one[1]), TITLE_ROWS):
        header = SheetHeader(number, cells, first is None, names_file_id(cells))
        if header.has_file_id:
            return header
        first = first or header
    return first


def chosen_sheet(name: str, sheets: Sequence[Sheet], requested: str | None) -> tuple[Sheet, list[str]]:
    """Return the sheet that was named, or the only one, or the only visible one with a header.

    Returns:
        The sheet, and the titles of hidden sheets that have a header too.

    Raises:
        ManifestError: no sheet has that name, or more than one could be meant.
    """
    listed = ", ".join(shown(sheet.title, limit=31) for sheet in sheets) or "none"
    if requested is not None:
        exact = [sheet for sheet in sheets if sheet.title == requested]
        alike = [sheet for sheet in sheets if sheet.title.strip().casefold() == requested.strip().casefold()]
        if not exact and len(alike) != 1:
            raise ManifestError(
                f"{name}: there is no sheet --sheet {shown(requested)!r}; its sheets: {listed}"
            )
        return (exact or alike)[0], []
    if len(sheets) == 1:
        return sheets[0], []
    headers = [(sheet, header) for sheet in sheets if (header := find_header(sheet.rows()))]
    headers = [(sheet, header) for sheet, header in headers if header.has_file_id]
    visible = [(sheet, header.is_first) for sheet, header in headers if sheet.visible]
    usable = [sheet for sheet, is_first in visible if is_first] or [sheet for sheet, _ in visible]
    if len(usable) != 1:
        what = "more than one sheet has" if usable else "no visible sheet has"
        raise ManifestError(
            f"{name}: {what} a header with file_id. Name one with --sheet; there are: {listed}"
        )
    return usable[0], [sheet.title for sheet, _ in headers if not sheet.visible]


def _trimmed(row: SheetRow) -> list[str]:
    cells = list(map(cell_text, row.cells))
    while cells and not cells[-1].strip(BLANKS + "\r\n"):
        cells.pop()
    return cells
