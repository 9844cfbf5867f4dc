"""Workbooks of every kind, made from their parts: also those that no library writes."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT_MAIN = "http://purl.oclc.org/ooxml/spreadsheetml/main"
_RELATIONS = {
    MAIN: "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    STRICT_MAIN: "http://purl.oclc.org/ooxml/officeDocument/relationships",
}
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_ODS = "application/vnd.oasis.opendocument.spreadsheet"
_OPEN = "urn:oasis:names:tc:opendocument:xmlns"

Part = str | Iterable[bytes]
Cells = Sequence[Sequence[str | float]]


def archive(parts: Mapping[str, Part]) -> bytes:
    """A ZIP archive; a large part is given piece by piece."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, part in parts.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            with target.open(info, "w", force_zip64=True) as writer:
                for piece in [part.encode()] if isinstance(part, str) else part:
                    writer.write(piece)
    return file.getvalue()


# -- Excel since 2007 ------------------------------------------------------------------------------


def excel_parts(
    sheets: Mapping[str, Part],
    *,
    texts: Part | None = None,
    styles: str = "",
    states: Mapping[str, str] | None = None,
    main: str = MAIN,
    workbook: str = "",
) -> dict[str, Part]:
    """The parts of a workbook.

    Args:
        sheets: by title, the XML inside of ``worksheet``; pieces are whole parts.
        texts: the XML inside of the table of shared texts, or the whole part in pieces.
        styles: the XML inside of the styles.
        states: by title, whether a sheet is ``hidden``.
        main: the namespace, which shows the version of the standard.
        workbook: XML before the list of sheets.
    """
    kind = _RELATIONS[main]
    listed, related = "", ""
    parts: dict[str, Part] = {}
    for number, (title, xml) in enumerate(sheets.items(), 1):
        state = (states or {}).get(title, "visible")
        listed += f'<sheet name="{title}" sheetId="{number}" state="{state}" r:id="r{number}"/>'
        related += _relation(f"r{number}", f"{kind}/worksheet", f"worksheets/sheet{number}.xml")
        wrapped = f'<worksheet xmlns="{main}">{xml}</worksheet>' if isinstance(xml, str) else xml
        parts[f"xl/worksheets/sheet{number}.xml"] = wrapped
    if texts is not None:
        related += _relation("texts", f"{kind}/sharedStrings", "sharedStrings.xml")
        parts["xl/sharedStrings.xml"] = (
            f'<sst xmlns="{main}">{texts}</sst>' if isinstance(texts, str) else texts
        )
    if styles:
        related += _relation("styles", f"{kind}/styles", "/xl/styles.xml")
        parts["xl/styles.xml"] = f'<styleSheet xmlns="{main}">{styles}</styleSheet>'
    return {
        "_rels/.rels": _relations(_relation("r1", f"{kind}/officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{kind}">{workbook}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relations(related),
        **parts,
    }


def excel(rows: Part, **more: object) -> bytes:
    """A workbook of one sheet ``S``: the XML inside of its ``sheetData``, or the whole part in pieces."""
    sheet = f"<sheetData>{rows}</sheetData>" if isinstance(rows, str) else rows
    return archive(excel_parts({"S": sheet}, **more))  # type: ignore[arg-type] # passed on


def in_sheet(pieces: Iterable[bytes], main: str = MAIN) -> Iterable[bytes]:
    """Pieces of rows as a whole part."""
    yield f'<worksheet xmlns="{main}"><sheetData>'.encode()
    yield from pieces
    yield b"</sheetData></worksheet>"


def text(value: str, reference: str = "", more: str = "") -> str:
    """A cell of text within the sheet."""
    place = f' r="{reference}"' if reference else ""
    return f'<c{place} t="inlineStr"{more}><is><t>{value}</t></is></c>'


def row(*cells: str, number: int | None = None, more: str = "") -> str:
    """A row of cells."""
    place = f' r="{number}"' if number else ""
    return f"<row{place}{more}>{''.join(cells)}</row>"


def _relation(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{kind}" Target="{target}"/>'


def _relations(listed: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{listed}</Relationships>'


# -- OpenDocument ----------------------------------------------------------------------------------


def ods(rows: Cells, *, more: str = "") -> bytes:
    """An OpenDocument spreadsheet of one sheet; ``more`` is XML after the rows."""
    spaces = " ".join(f'xmlns:{name}="{_OPEN}:{name}:1.0"' for name in ("office", "table", "text"))
    table = "".join(f"<table:table-row>{''.join(map(_open_cell, cells))}</table:table-row>" for cells in rows)
    manifest = f'<m:file-entry m:full-path="/" m:media-type="{_ODS}"/>'
    return archive(
        {
            "mimetype": _ODS,
            "META-INF/manifest.xml": f'<m:manifest xmlns:m="{_OPEN}:manifest:1.0">{manifest}</m:manifest>',
            "content.xml": f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="S">{table}{more}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        }
    )


def _open_cell(value: str | float) -> str:
    if value == "":
        return "<table:table-cell/>"
    kind = 'string"' if isinstance(value, str) else f'float" office:value="{value!r}"'
    return f'<table:table-cell office:value-type="{kind}><text:p>{value}</text:p></table:table-cell>'


# -- Excel, binary ---------------------------------------------------------------------------------


def xlsb(rows: Cells) -> bytes:
    """A binary workbook of one sheet ``S``. Source: MS-XLSB, 2.1.4 and 2.4."""
    kind = _RELATIONS[MAIN]
    size = struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)
    sheet = _binary(129) + _binary(148, size) + _binary(145)
    for number, cells in enumerate(rows):
        sheet += _binary(0, struct.pack("<IIHBBBI", number, 0, 300, 0, 0, 0, 0))
        for column, value in enumerate(cells):
            if isinstance(value, str):
                sheet += _binary(6, struct.pack("<II", column, 0) + _wide(value)) if value else b""
            else:
                sheet += _binary(5, struct.pack("<IId", column, 0, value))
    sheet += _binary(146) + _binary(130)
    listed = _binary(156, struct.pack("<II", 0, 1) + _wide("r1") + _wide("S"))
    return archive(
        {
            "_rels/.rels": _relations(_relation("r1", f"{kind}/officeDocument", "xl/workbook.bin")),
            "xl/workbook.bin": [_binary(131) + _binary(143) + listed + _binary(144) + _binary(132)],
            "xl/_rels/workbook.bin.rels": _relations(
                _relation("r1", f"{kind}/worksheet", "worksheets/sheet1.bin")
            ),
            "xl/worksheets/sheet1.bin": [sheet],
        }
    )


def _binary(kind: int, data: bytes = b"") -> bytes:
    number = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    return number + bytes([len(data)]) + data


def _wide(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode("utf-16-le")


# -- Excel before 2007 -----------------------------------------------------------------------------


def xls(rows: Cells, *, merged: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    """A workbook of one sheet ``S``; ``merged`` are first and last rows, then columns, from 0.

    Source: MS-XLS, 2.4.
    """
    sheet = _old(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0))
    for number, cells in enumerate(rows):
        for column, value in enumerate(cells):
            place = struct.pack("<HHH", number, column, 0)
            if isinstance(value, str):
                label = struct.pack("<HB", len(value), 1) + value.encode("utf-16-le")
                sheet += _old(0x204, place + label) if value else b""
            else:
                sheet += _old(0x203, place + struct.pack("<d", value))
    for area in merged:
        sheet += _old(0xE5, struct.pack("<HHHHH", 1, *area))
    sheet += _old(0x0A)
    begin = _old(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0)) + _old(0x42, struct.pack("<H", 1200))
    name = struct.pack("<BB", 1, 0) + b"S"
    size = len(begin) + 4 + 6 + len(name) + 4
    return compound({"Workbook": begin + _old(0x85, struct.pack("<IH", size, 0) + name) + _old(0x0A) + sheet})


def _old(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file of Microsoft Office. Source: MS-CFB, 2."""
    sector, end, free = 512, 0xFFFFFFFE, 0xFFFFFFFF
    bodies = {name: data.ljust(4096, b"\0") for name, data in streams.items()}
    bodies = {name: data + bytes(-len(data) % sector) for name, data in bodies.items()}
    entries = [_entry("Root Entry", 5, child=1, start=end, size=0)]
    table = [0xFFFFFFFD, end]  # the table itself, then the directory
    for number, (name, data) in enumerate(bodies.items(), 1):
        first, count = len(table), len(data) // sector
        following = number + 1 if number < len(bodies) else free
        entries.append(_entry(name, 2, right=following, start=first, size=len(data)))
        table += [*range(first + 1, first + count), end]
    assert len(table) <= sector // 4
    assert len(entries) <= sector // 128
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII", _OLD, b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, 1, 1, 0, 4096, end, 0, end, 0, 0
    )
    header += struct.pack("<108I", *[free] * 108)
    allocation = struct.pack("<128I", *table, *[free] * (128 - len(table)))
    directory = b"".join(entries).ljust(sector, b"\0")
    return header + allocation + directory + b"".join(bodies.values())


_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def _entry(name: str, kind: int, *, child: int = -1, right: int = -1, start: int, size: int) -> bytes:
    raw = f"{name}\0".encode("utf-16-le")
    links = struct.pack("<III", 0xFFFFFFFF, right & 0xFFFFFFFF, child & 0xFFFFFFFF)
    return (
        raw.ljust(64, b"\0")
        + struct.pack("<HBB", len(raw), kind, 1)
        + links
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
