"""The same rows in every format of manifest, as other programs write them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from batcher.manifest.read_options import ReadOptions
from batcher.submit.manifest_checks import Preparation
from batcher.submit.prepared import Prepared

Table = Sequence[Mapping[str, str]]
"""Rows by column; all have the same columns."""


def as_csv(table: Table) -> bytes:
    """A header and rows."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue().encode()


def as_text(table: Table) -> bytes:
    """The ids alone."""
    return "".join(f"{row['file_id']}\n" for row in table).encode()


def as_jsonl(table: Table) -> bytes:
    """An object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table).encode()


def as_json(table: Table) -> bytes:
    """An array of objects over several lines."""
    return json.dumps(list(table), ensure_ascii=False, indent=2).encode()


def as_parquet(table: Table) -> bytes:
    """Columns of strings."""
    return parquet_of({name: pa.array([row[name] for row in table]) for name in table[0]})


def as_xlsx(table: Table) -> bytes:
    """One sheet of text cells."""
    return workbook_of({"Sheet1": [list(table[0]), *(list(row.values()) for row in table)]})


def parquet_of(columns: Mapping[str, pa.Array], **options: object) -> bytes:
    """A Parquet file of columns."""
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file, **options)
    return file.getvalue()


def workbook_of(sheets: Mapping[str, Sequence[Sequence[object]]], hidden: Sequence[str] = ()) -> bytes:
    """A workbook of sheets."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        sheet.sheet_state = "hidden" if name in hidden else "visible"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


FORMATS: dict[str, tuple[str, Callable[[Table], bytes]]] = {
    "csv": (".csv", as_csv),
    "jsonl": (".jsonl", as_jsonl),
    "json": (".json", as_json),
    "parquet": (".parquet", as_parquet),
    "xlsx": (".xlsx", as_xlsx),
}
"""Each format that has columns: its extension, and how it is written."""

PACKINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "gzip": (".gz", lambda data: gzip.compress(data, mtime=0)),
    "zstd": (".zst", lambda data: zstandard.compress(data)),
    "bzip2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
}
"""Each way to compress a manifest: what it adds to the name, and how it is done."""


def prepare_all(sources: Sequence[str], how: ReadOptions) -> list[Prepared]:
    """Open and check the manifests that sources and patterns name."""
    return Preparation(sources, how).all()
