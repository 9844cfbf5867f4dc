"""Results written to a file: of a whole ledger, or of the rows of one manifest.

Called by programs and by ``batcher export``. Works while a run writes the ledger. The packages of the binary
formats are imported when a file of that format is written.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.ledger.preflight import last_options
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.manifest import join_results
from batcher.manifest.read_options import ReadOptions, remembered_text
from batcher.manifest.reader import Manifest
from batcher.model.submission import InvalidRow, Row
from batcher.report.export.rows import (
    ExportRow,
    ResultTable,
    RowStatus,
    columns_of,
    header,
    manifest_row,
    record_row,
)
from batcher.report.export.text_tables import CsvTable, JsonLines, encoded
from batcher.requirements import pip_install

PAGE = 500
"""Submissions read at a time; more are hardly faster and take three times the memory."""


class ExportFormat(StrEnum):
    """The format of a file of results; also the ending of its name."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    XLSX = "xlsx"

    @property
    def is_binary(self) -> bool:
        """True if a terminal cannot show it."""
        return self in _PACKAGES


_PACKAGES = {ExportFormat.PARQUET: "pyarrow", ExportFormat.XLSX: "XlsxWriter"}
"""The package that writes a binary format."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """The form of a file of results.

    Raises:
        SettingsError: the two contradict each other, or the package of the format is missing.
    """

    format: ExportFormat = ExportFormat.CSV
    excel: bool = False
    """CSV that a spreadsheet opens without damage to ids and text."""

    def __post_init__(self) -> None:
        if self.excel and self.format is not ExportFormat.CSV:
            raise SettingsError("excel: goes with format csv; xlsx needs no protection")
        if self.format in _PACKAGES:
            _check_package(self.format)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of an export."""

    rows: int
    shortened: int = 0
    """Cells that held more than a cell of a spreadsheet can, and lost their end."""
    invalid: int = 0
    """Rows of the manifest that cannot be sent."""
    not_loaded: int = 0
    """Rows of the manifest that the ledger has no submission for."""


async def export_ledger(
    path: str | os.PathLike[str],
    file: BinaryIO,
    settings: ExportSettings,
    *,
    scratch: Path | None = None,
    last_part: AbstractContextManager[None] | None = None,
) -> ExportResult:
    """Write one row for each submission.

    Args:
        path: the ledger.
        file: the open file to write to; it stays open. After an error or a cancellation it is not whole.
        settings: the form of the file.
        scratch: the folder for temporary files; the system's when not given.
        last_part: entered while the end of the file is written, which may take long and awaits nothing.

    Raises:
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
        SettingsError: the format cannot hold that many columns.
    """
    async with await open_for_reading(ledger_named(path)) as ledger:
        followed = bool(await ledger.tallies_of_tasks())
        own = header(await ledger.own_columns(), followed=followed)
        pages = _all_submissions(ledger, own, followed)
        names = [*columns_of(followed=followed), *own.values()]
        return await _write(pages, names, len(own), file, settings, scratch, last_part)


async def export_manifest(
    path: str | os.PathLike[str],
    manifest: str,
    file: BinaryIO,
    settings: ExportSettings,
    *,
    read: ReadOptions | None = None,
    scratch: Path | None = None,
    on_note: Callable[[str], object] = lambda _: None,
    on_warning: Callable[[str], object] = lambda _: None,
    last_part: AbstractContextManager[None] | None = None,
) -> ExportResult:
    """Write one row for each row of a manifest, in its order; also for invalid rows and those not loaded.

    Args:
        path: the ledger.
        manifest: a file, a URL, or ``-`` for standard input.
        file: as for :func:`export_ledger`.
        settings: the form of the file.
        read: how the manifest is read; what is not given is as in its last load.
        scratch: as for :func:`export_ledger`.
        on_note: called with a message if options of its last load are used.
        on_warning: called with each warning about the manifest, before the first row is written.
        last_part: as for :func:`export_ledger`.

    Raises:
        ManifestError: the manifest cannot be used.
        LedgerMissing: there is no ledger.
        LedgerError: it cannot be read.
        SettingsError: the format cannot hold that many columns.
    """
    async with (
        await open_for_reading(ledger_named(path)) as ledger,
        join_results.opened(manifest, read or ReadOptions(), partial(last_options, ledger.name)) as (
            opened,
            remembered,
        ),
    ):
        if remembered:
            on_note(remembered_text(opened.source, remembered))
        for warning in opened.warnings:
            on_warning(warning)
        followed = bool(await ledger.tallies_of_tasks())
        own = header(opened.columns, followed=followed)
        missing = Counter[RowStatus]()
        pages = _manifest_rows(ledger, opened, own, followed, missing)
        names = [*columns_of(followed=followed), *own.values()]
        done = await _write(pages, names, len(own), file, settings, scratch, last_part)
    return replace(done, invalid=missing[RowStatus.INVALID], not_loaded=missing[RowStatus.NOT_LOADED])


async def _all_submissions(
    ledger: LedgerReader, own: dict[str, str], followed: bool
) -> AsyncIterator[list[ExportRow]]:
    last = 0
    while page := await ledger.records(after_id=last, limit=PAGE):
        yield [record_row(record, own, followed=followed) for record in page]
        last = page[-1].id


async def _manifest_rows(
    ledger: LedgerReader, manifest: Manifest, own: dict[str, str], followed: bool, missing: Counter[RowStatus]
) -> AsyncIterator[list[ExportRow]]:
    """Yield the rows of a manifest, and count those without a submission."""
    async for page in join_results.matched(manifest, ledger.records_of):
        for row, record in page:
            if record is None:
                missing[RowStatus.INVALID if isinstance(row, InvalidRow) else RowStatus.NOT_LOADED] += 1
        yield [
            manifest_row(row, record, manifest.source, own, _own_cells(manifest, row, own), followed=followed)
            for row, record in page
        ]


def _own_cells(manifest: Manifest, row: Row | InvalidRow, own: dict[str, str]) -> dict[str, str | None]:
    """The cells of an invalid row, by the names of the exported columns."""
    if isinstance(row, Row):
        return {}
    return {own.get(name, name): value or None for name, value in manifest.cells_of(row).items()}


async def _write(
    pages: AsyncIterator[list[ExportRow]],
    names: Sequence[str],
    n_own: int,
    file: BinaryIO,
    settings: ExportSettings,
    scratch: Path | None,
    last_part: AbstractContextManager[None] | None,
) -> ExportResult:
    """Write pages in the form of the settings; the last ``n_own`` names are the manifests' own columns."""
    columns = [encoded(name).decode() for name in names]
    written = 0
    with _table(settings, file, columns, len(names) - n_own, scratch) as table:
        async for page in pages:
            table.write(page)
            written += len(page)
        with last_part or nullcontext():
            table.close()
    return ExportResult(written, getattr(table, "shortened", 0))


@contextmanager
def _table(
    settings: ExportSettings, file: BinaryIO, columns: Sequence[str], fixed: int, scratch: Path | None
) -> Iterator[ResultTable]:
    """The table to write; if the block raises, nothing more is written."""
    match settings.format:
        case ExportFormat.CSV:
            yield CsvTable(file, columns, excel=settings.excel)
        case ExportFormat.JSONL:
            yield JsonLines(file, columns)
        case ExportFormat.PARQUET:
            from batcher.report.export.parquet import ParquetTable

            with ParquetTable(file, columns, fixed) as table:
                yield table
        case ExportFormat.XLSX:
            from batcher.report.export.xlsx import SHEET_COLUMNS, Workbook

            if len(columns) > SHEET_COLUMNS:
                raise SettingsError(
                    f"format xlsx: {len(columns):,} columns, and a sheet has {SHEET_COLUMNS:,}; "
                    "csv, jsonl and parquet take them all"
                )
            with (
                tempfile.TemporaryDirectory(
                    prefix=".batcher.", dir=scratch, ignore_cleanup_errors=True
                ) as folder,
                Workbook(file, columns, Path(folder), ours=fixed) as table,
            ):
                yield table


def _check_package(chosen: ExportFormat) -> None:
    try:
        if chosen is ExportFormat.PARQUET:
            # Set before the import: the allocator of the system needs the least memory and returns the most.
            os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
            import batcher.report.export.parquet
        else:
            import batcher.report.export.xlsx  # noqa: F401 - to see whether its package is there
    except ImportError as exc:
        package = _PACKAGES[chosen]
        raise SettingsError(
            f"format {chosen}: needs the package {package} ({exc}): {pip_install(package)}"
        ) from exc
