"""Workbooks of Excel since 2007 (``.xlsx``, ``.xlsm``, templates), in both versions of their standard.

Sheets are streamed; the table of shared texts is held, up to a limit. Nothing is calculated: the value of a
formula is the one it last showed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from batcher.errors import ManifestError
from batcher.manifest.display import shown
from batcher.manifest.formats.workbook.cells import CellContext, CellReader
from batcher.manifest.formats.workbook.package import Package, XmlStream, translated
from batcher.manifest.formats.workbook.shared_texts import shared_texts
from batcher.manifest.formats.workbook.sheet import SheetRow, cell_position
from batcher.manifest.formats.workbook.styles import date_styles
from batcher.model.submission import CountedBy

LONGEST_MERGE_TAG = 256
"""The bytes of the longest tag of a merged cell."""
_MERGED = re.compile(
    rb'(?<=[<:])mergeCell\s[^>]*?\bref\s*=\s*["\']([A-Z]{1,3}[0-9]{1,7}):([A-Z]{1,3}[0-9]{1,7})["\']'
)


class ExcelWorkbook:
    """An open workbook.

    Args:
        package: the file.
        part: the part that lists the sheets.

    Raises:
        ManifestError: it cannot be read.
    """

    unseen = None

    def __init__(self, package: Package, part: str) -> None:
        related = package.related(part)
        sheet_parts = {relation.id: relation.part for relation in related if relation.kind == "worksheet"}
        parts = {relation.kind: relation.part for relation in related}
        from_1904, listed = False, []
        for tag, attributes in package.elements(part):
            if tag == "workbookPr":
                from_1904 = attributes.get("date1904") in ("1", "true")
            elif tag == "sheet" and (sheet_part := sheet_parts.get(attributes.get("id", ""))):
                visible = attributes.get("state", "visible") == "visible"
                listed.append((sheet_part, attributes.get("name", ""), visible))
        styles = date_styles(package, parts.get("styles"))
        context = CellContext(shared_texts(package, parts.get("sharedStrings")), styles, from_1904)
        self.sheets: Sequence[ExcelSheet] = [ExcelSheet(package, context, *one) for one in listed]


class ExcelSheet:
    """A sheet of a workbook."""

    def __init__(self, package: Package, context: CellContext, part: str, title: str, visible: bool) -> None:
        self.title = title
        self.visible = visible
        self.hidden_columns: Collection[int] = ()
        self._package = package
        self._context = context
        self._part = part
        self._where = f"{package.name} sheet {shown(title)}"

    def rows(self) -> Iterator[SheetRow]:
        """Yield the rows that are not blank, from the first one on."""
        reader = CellReader(self._context)
        self.hidden_columns = reader.hidden_columns
        xml = XmlStream(reader.start, reader.end, reader.text)

        def place() -> str:
            return CountedBy.ROW.place(self._where, max(reader.number, 1))

        for block in self._package.blocks(self._part):
            try:
                with translated(self._where, place):
                    xml.feed(block)
            except ManifestError:
                yield from reader.take()
                raise
            yield from reader.take()
            if reader.ended:
                return
        with translated(self._where):
            xml.close()

    def merged(self, columns: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Return the merged cells of some columns. Reads the whole sheet, against its checksum."""
        found: dict[int, dict[int, int]] = {}
        tail = b""
        for block in self._package.blocks(self._part):
            tail += block
            for match in _MERGED.finditer(tail):
                with translated(self._where):
                    (first_column, first), (last_column, last) = (
                        cell_position(reference.decode()) for reference in match.groups()
                    )
                for column in columns:
                    if first_column <= column <= last_column and first < last:
                        found.setdefault(column, {})[first] = last
            tail = tail[-LONGEST_MERGE_TAG:]
        return found


def open_xlsx(package: Package) -> ExcelWorkbook | None:
    """Open a workbook of Excel; None when the package holds something else.

    Raises:
        ManifestError: it cannot be read.
    """
    part = workbook_part(package)
    return ExcelWorkbook(package, part) if part else None


def workbook_part(package: Package) -> str | None:
    """Return the part that lists the sheets; None when the package holds something else.

    Raises:
        ManifestError: it cannot be read.
    """
    parts = [relation.part for relation in package.related("") if relation.kind == "officeDocument"]
    part = next(iter(parts), "xl/workbook.xml")
    if part not in package or not any(tag == "workbook" for tag, _ in package.elements(part)):
        return None
    return part
