"""What a file that may be a workbook is, by its content, and the workbook opened.

Called with a file that begins like a ZIP archive or like an old document of Microsoft Office. Its name
decides nothing: a workbook saved under the name of another kind is read as what it is. Anything else is
named, with what to do.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.display import shown
from batcher.manifest.formats.workbook.calamine import LOCKED, CalamineWorkbook
from batcher.manifest.formats.workbook.compound_file import compound_fault
from batcher.manifest.formats.workbook.package import Package, damaged
from batcher.manifest.formats.workbook.sheet import SheetSource
from batcher.manifest.formats.workbook.xlsx import open_xlsx, workbook_part
from batcher.manifest.sources.compression import OLD_OFFICE_MARK

DIRECTORY_BYTES = 1 << 16
"""The bytes of the directory that are searched for the names of its streams."""
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_NAMED_PARTS = 3


def open_workbook(name: str, file: BinaryIO) -> SheetSource:
    """Open a workbook of any kind.

    Raises:
        ManifestError: it is something else, damaged, locked with a password, or its package is missing.
    """
    begin = file.read(len(OLD_OFFICE_MARK))
    file.seek(0)
    if begin == OLD_OFFICE_MARK:
        return _old_workbook(name, file)
    package = Package(name, file)
    kind = _archived(package)
    if kind is None:
        raise ManifestError(f"{name}: {_other_archive(package, 'a workbook')}")
    if kind == "xlsx" and (book := open_xlsx(package)):
        return book
    package.check_held()
    if kind == "ods":
        package.check_xml("content.xml")
    return CalamineWorkbook(name, file, kind)


def archived_workbook(name: str, file: BinaryIO, expected: str) -> str:
    """Return the kind of workbook that a ZIP archive holds, by its usual extension.

    Args:
        name: the manifest's name.
        file: its bytes.
        expected: what it should be instead, for the message.

    Raises:
        ManifestError: it holds something else, or is damaged.
    """
    try:
        package = Package(name, file)
    except ManifestError as exc:
        raise ManifestError(
            f"{name}: this is a ZIP archive or a workbook, not {expected}, and it is cut off or damaged. "
            "Save or fetch it again"
        ) from exc
    kind = _archived(package)
    if kind is None:
        raise ManifestError(f"{name}: {_other_archive(package, expected)}")
    return kind


def _archived(package: Package) -> str | None:
    """Return the kind of workbook that a package is; None when it is something else."""
    if "xl/workbook.bin" in package:
        return "xlsb"
    if "mimetype" in package and b"".join(package.blocks("mimetype"))[: len(_ODS)] == _ODS:
        return "ods"
    return "xlsx" if workbook_part(package) else None


def _old_workbook(name: str, file: BinaryIO) -> SheetSource:
    streams = _streams(file)
    if _named("EncryptedPackage") in streams:
        raise ManifestError(f"{name}: {LOCKED}")
    if not any(_named(stream) in streams for stream in ("Workbook", "Book")):
        raise ManifestError(
            f"{name}: this is a document of an old version of Microsoft Office that holds no workbook, or it "
            "is cut off. Save or fetch it again, or export the rows as CSV"
        )
    if fault := compound_fault(file):
        raise damaged(name, fault)
    return CalamineWorkbook(name, file, "xls")


def _streams(file: BinaryIO) -> bytes:
    """Return the part of an old document that names its streams. Source: MS-CFB, 2.2 and 2.6."""
    header = file.read(52)
    if len(header) < 52:
        return b""
    shift, sector = struct.unpack_from("<H", header, 30)[0], struct.unpack_from("<I", header, 48)[0]
    file.seek((sector + 1) << min(shift, 12))
    directory = file.read(DIRECTORY_BYTES)
    file.seek(0)
    return directory


def _named(stream: str) -> bytes:
    """Return a stream's name as a directory holds it."""
    return f"{stream}\0".encode("utf-16-le")


def _other_archive(package: Package, expected: str) -> str:
    """Return what an archive is that holds no workbook, and what to do."""
    if "word/document.xml" in package:
        return f"this is a document of Word, and not {expected}. Export the rows as CSV"
    if any(part.endswith(".iwa") for part in package.listed):
        return "this is a document of Apple Numbers. Export it as .xlsx or CSV"
    parts = [part for part in package.listed if not part.endswith("/")]
    named = ", ".join(shown(part, limit=40) for part in parts[:_NAMED_PARTS])
    more = f" and {len(parts) - _NAMED_PARTS:,} more" if len(parts) > _NAMED_PARTS else ""
    held = f"it holds {named}{more}" if parts else "it is empty"
    return f"this is a ZIP archive, not {expected}: {held}. Unpack it and name the files"
