"""The format of a manifest: by ``--format``, else by its name; its first bytes must agree.

Called when a manifest is opened. Nothing is guessed from the look of the text. A name that contradicts the
bytes is refused: a file renamed by mistake would be read wrongly, and that may cost money.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from batcher.errors import ManifestError
from batcher.manifest.formats.misnamed import misnamed
from batcher.manifest.formats.workbook.kind import archived_workbook
from batcher.manifest.sources.compression import (
    OLD_OFFICE_MARK,
    PARQUET_MARK,
    ZIP_MARK,
    Packing,
    Unpacked,
    packing_of,
)
from batcher.manifest.sources.local import Source
from batcher.manifest.text.lines import HEAD_BYTES


class ManifestFormat(StrEnum):
    """The formats of manifests."""

    CSV = "csv"
    """A header and rows; comma, semicolon or tab."""
    TEXT = "text"
    """One file id a line, and nothing else."""
    JSONL = "jsonl"
    """One JSON value a line: an object, an id, an answer of SearchMedia, or a callback's body."""
    JSON = "json"
    """JSON values over any number of lines: arrays of objects or ids, answers of SearchMedia."""
    PARQUET = "parquet"
    XLSX = "xlsx"
    """A workbook; of which kind, its content says."""
    XLS = "xls"
    XLSB = "xlsb"
    ODS = "ods"


WORKBOOKS = frozenset({ManifestFormat.XLSX, ManifestFormat.XLS, ManifestFormat.XLSB, ManifestFormat.ODS})
"""Formats that may be confused with each other: the content of a workbook shows which it is."""

_EXTENSIONS = {
    ".csv": ManifestFormat.CSV,
    ".tsv": ManifestFormat.CSV,
    ".txt": ManifestFormat.TEXT,
    ".list": ManifestFormat.TEXT,
    ".jsonl": ManifestFormat.JSONL,
    ".ndjson": ManifestFormat.JSONL,
    ".json": ManifestFormat.JSON,
    ".parquet": ManifestFormat.PARQUET,
    ".xlsx": ManifestFormat.XLSX,
    ".xlsm": ManifestFormat.XLSX,
    ".xltx": ManifestFormat.XLSX,
    ".xltm": ManifestFormat.XLSX,
    ".xls": ManifestFormat.XLS,
    ".xlt": ManifestFormat.XLS,
    ".et": ManifestFormat.XLS,
    ".xlsb": ManifestFormat.XLSB,
    ".ods": ManifestFormat.ODS,
    ".ots": ManifestFormat.ODS,
}
_PACKED = {".gz": Packing.GZIP, ".zst": Packing.ZSTD, ".bz2": Packing.BZIP2, ".xz": Packing.XZ}

_MAGIC = (
    (PARQUET_MARK, ManifestFormat.PARQUET),
    (ZIP_MARK, ManifestFormat.XLSX),
    (OLD_OFFICE_MARK, ManifestFormat.XLS),
)
_CALLED = {
    ManifestFormat.PARQUET: "a Parquet file",
    ManifestFormat.XLSX: "a ZIP archive or an Excel workbook (.xlsx)",
    ManifestFormat.XLS: "an old Excel workbook (.xls) or one with a password",
    ManifestFormat.XLSB: "a binary Excel workbook (.xlsb)",
    ManifestFormat.ODS: "an OpenDocument spreadsheet (.ods)",
}


class NamedFormat(NamedTuple):
    """The format and the compression that a manifest's name announces."""

    format: ManifestFormat | None
    packing: Packing | None


def format_named(name: str) -> NamedFormat:
    """Read the extensions of a name, in any case; ``.csv.gz`` has two. Standard input is CSV."""
    if name == "-":
        return NamedFormat(ManifestFormat.CSV, None)
    path = PurePosixPath(name.lower())
    packing = _PACKED.get(path.suffix)
    return NamedFormat(_EXTENSIONS.get((path.with_suffix("") if packing else path).suffix), packing)


def unpacked(source: Source, named: NamedFormat, *, trusted: bool) -> Source:
    """Return the unpacked source if its first bytes show that it is compressed, else the source itself.

    Args:
        source: not read yet.
        named: the format that its name announces.
        trusted: the name is ignored, since ``--format`` was given, or a server may have unpacked it.

    Raises:
        ManifestError: name and bytes contradict each other.
    """
    head = source.peek(HEAD_BYTES)
    packing = packing_of(head)
    if head and packing != named.packing and not trusted and (named.format or named.packing):
        announced = named.packing or named.format
        raise ManifestError(
            f"{source.name}: this is {f'compressed with {packing}' if packing else 'not compressed'}, and "
            f"its name says {'CSV' if announced is ManifestFormat.CSV else announced}. Rename it, or "
            "give the format of its content with --format"
        )
    return Unpacked(source, packing) if packing else source


def format_of(
    source: Source, requested: ManifestFormat | None, named: ManifestFormat | None
) -> ManifestFormat:
    """Return the format of a manifest, by its first bytes after unpacking.

    Args:
        source: unpacked, and not read yet.
        requested: the format that the user named.
        named: the format that its name announces.

    Raises:
        ManifestError: the bytes are of another format than ``--format`` or the name announces.
    """
    name, head = source.name, source.peek(HEAD_BYTES)
    found = next((format_ for magic, format_ in _MAGIC if head.startswith(magic)), None)
    expected = requested or named
    if found is None:
        if head and expected in WORKBOOKS and (text := misnamed(name, head)):
            raise ManifestError(f"{name}: {text}")
        if head and expected in _CALLED:
            raise ManifestError(
                f"{name}: this is not {_CALLED[expected]}, though {_announced_by(name, requested)} so. "
                "If it is text, say with --format csv, text, jsonl or json which it is"
            )
        return expected or ManifestFormat.CSV
    if expected is None or expected is found or {expected, found} <= WORKBOOKS:
        return found
    instead = "CSV" if expected is ManifestFormat.CSV else expected.value
    called = _CALLED[found]
    if found is ManifestFormat.XLSX:
        found = ManifestFormat(archived_workbook(name, source.seekable(), instead))
        called = _CALLED[found].removeprefix("a ZIP archive or ")
    raise ManifestError(
        f"{name}: this is {called}, and {_announced_by(name, requested)} {instead}. Give --format {found} "
        "to read it"
    )


def _announced_by(name: str, requested: ManifestFormat | None) -> str:
    if requested:
        return "--format says"
    return "without --format it is read as" if name == "stdin" else "its name says"
