"""Which format a manifest is in: what ``--format`` says, else its name, and its first bytes must agree.

Nothing is guessed from what text looks like. A name that says one thing while the bytes say another is
refused: a file that was renamed in passing is a mistake, and reading it wrongly may cost money.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from batcher.errors import ManifestError
from batcher.manifest.sources.compression import PARQUET_MARK, ZIP_MARK, Packing, Unpacked, packing_of
from batcher.manifest.sources.local import Source
from batcher.manifest.text.lines import HEAD_BYTES


class ManifestFormat(StrEnum):
    """How a manifest is written."""

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
}
_PACKED = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}

_MAGIC = ((PARQUET_MARK, ManifestFormat.PARQUET), (ZIP_MARK, ManifestFormat.XLSX))
_CALLED = {
    ManifestFormat.PARQUET: "a Parquet file",
    ManifestFormat.XLSX: "a ZIP archive or an Excel workbook (.xlsx)",
}


class NameSays(NamedTuple):
    """What a manifest's name says of it."""

    format: ManifestFormat | None
    packing: Packing | None


def name_says(name: str) -> NameSays:
    """Read the extensions of a name, in any case; ``.csv.gz`` says two things. Standard input is CSV."""
    if name == "-":
        return NameSays(ManifestFormat.CSV, None)
    path = PurePosixPath(name.lower())
    packing = _PACKED.get(path.suffix)
    return NameSays(_EXTENSIONS.get((path.with_suffix("") if packing else path).suffix), packing)


def unpacked(source: Source, says: NameSays, *, trusted: bool) -> Source:
    """What a source holds, when its first bytes show it to be compressed; else the source itself.

    Args:
        source: nothing of it has been read.
        says: what its name says.
        trusted: the name is not asked, since ``--format`` was given, or a server may have unpacked it.

    Raises:
        ManifestError: name and bytes contradict each other.
    """
    head = source.peek(HEAD_BYTES)
    packing = packing_of(head)
    if head and packing != says.packing and not trusted and (says.format or says.packing):
        calls = says.packing or says.format
        raise ManifestError(
            f"{source.name}: this is {f'compressed with {packing}' if packing else 'not compressed'}, and "
            f"its name says {'CSV' if calls is ManifestFormat.CSV else calls}. Name it for what it is, or "
            "say with --format what it holds"
        )
    return Unpacked(source, packing) if packing else source


def format_of(
    name: str, head: bytes, wanted: ManifestFormat | None, says: ManifestFormat | None
) -> ManifestFormat:
    """The format of a manifest that begins with ``head``, compression taken off.

    Raises:
        ManifestError: the bytes are of another format than ``--format`` or the name says.
    """
    found = next((format_ for magic, format_ in _MAGIC if head.startswith(magic)), None)
    expected = wanted or says
    if found is None:
        if head and expected in _CALLED:
            raise ManifestError(
                f"{name}: this is not {_CALLED[expected]}, though {_said_by(name, wanted)} so. "
                "If it is text, say with --format csv, text, jsonl or json which it is"
            )
        return expected or ManifestFormat.CSV
    if expected is None or expected is found:
        return found
    raise ManifestError(
        f"{name}: this is {_CALLED[found]}, and {_said_by(name, wanted)} "
        f"{'CSV' if expected is ManifestFormat.CSV else expected}. To read it as what it is, "
        f"give --format {found}"
    )


def _said_by(name: str, wanted: ManifestFormat | None) -> str:
    if wanted:
        return "--format says"
    return "without --format it is read as" if name == "stdin" else "its name says"
