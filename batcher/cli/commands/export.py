"""``export``: results to stdout or a file, of the whole ledger or of one manifest's rows."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.output_file import opened, waiting_room
from batcher.cli.read_options import how_to_read
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.ledger import LedgerReader, ledger_path, open_for_reading
from batcher.manifest import Manifest, join_results
from batcher.manifest.read_options import ReadOptions
from batcher.model.submission import InvalidRow, Row
from batcher.report.export.rows import ExportRow, ResultTable, columns_of, header, manifest_row, record_row
from batcher.report.export.text_tables import CsvTable, JsonLines, encoded
from batcher.report.formatting import count
from batcher.requirements import pip_install


@command("export", options={**o.READING, "manifest_format": o.ManifestFormat, **o.COMMON})
async def export(
    call: Invocation,
    manifest: Annotated[
        str | None, typer.Argument(metavar="MANIFEST", help="Export this file's rows, in its order.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write here, whole or not at all. (default: stdout)"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="csv, jsonl, parquet or xlsx. (default: as FILE is named, else csv)",
        ),
    ] = None,
    excel: Annotated[
        bool,
        typer.Option("--excel", help="CSV that a spreadsheet opens without damage to ids and text."),
    ] = False,
) -> int:
    """Write the results, one row for each submission, or for each row of a manifest.

    With a manifest, give the same --vendor, --definition and so on as when it was loaded: they are part
    of what was asked for. Rows that cannot be sent and rows not loaded yet are there too, and say so.

    Exit codes: 0; 2 settings or manifest; 6 there is no ledger, or it cannot be read.

    Example:  batcher export archive.csv --vendor Huawei --interval 5 -o out.csv
    """
    return await export_results(call.settings, manifest, output, call.console, format_=format_, excel=excel)


PAGE = 500
"""Submissions taken from the ledger at once; more are hardly faster, and are held three times over."""


class ExportFormat(StrEnum):
    """How results are written. A file whose name ends in one of these is meant to be that."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    XLSX = "xlsx"


_BINARY = {ExportFormat.PARQUET: "pyarrow", ExportFormat.XLSX: "XlsxWriter"}
"""Formats that no terminal can show, and the package each needs."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go, and how they are written; made by :func:`destination_of`."""

    format: ExportFormat
    output: Path | None
    """None for stdout."""
    excel: bool


async def export_results(
    settings: Settings,
    manifest: str | None,
    output: Path | None,
    console: Console,
    *,
    format_: str | None,
    excel: bool,
) -> int:
    """Write all results, page by page; a signal ends it with nothing left behind."""
    to = destination_of(format_, output, excel=excel)
    how = how_to_read(settings)
    with Signals() as signals:
        try:
            async with await open_for_reading(ledger_path(settings.ledger)) as ledger:
                if manifest is None:
                    said = await _export_ledger(ledger, to, signals)
                else:
                    said = await _export_manifest(ledger, manifest, how, to, signals, console.warn)
        except asyncio.CancelledError:
            if signals.code is None:
                raise
            return signals.code
    if output is not None:
        console.say(f"{output}: {said}")
    return 0


def destination_of(format_: str | None, output: Path | None, *, excel: bool) -> Destination:
    """What the options ask for: a format that is not named is that of the file's name, else CSV.

    Raises:
        SettingsError: they contradict each other, or what they ask for cannot be had here.
    """
    if format_ is not None and format_ not in set(ExportFormat):
        raise SettingsError(f"--format {format_}: give csv, jsonl, parquet or xlsx")
    suffix = output.suffix.lower().removeprefix(".") if output else ""
    by_name = ExportFormat(suffix) if suffix in set(ExportFormat) else None
    chosen = ExportFormat(format_) if format_ else (by_name or ExportFormat.CSV)
    if by_name not in (None, chosen) and {by_name, chosen} & set(_BINARY):
        # One text in a file named for another was always taken; a program that opens these would be misled.
        raise SettingsError(f"--format {chosen} -o {output}: the name says {by_name}; change one of the two")
    if excel and chosen is not ExportFormat.CSV:
        raise SettingsError("--excel: goes with --format csv; xlsx needs no protection")
    if chosen in _BINARY:
        _check_binary(chosen, output)
    return Destination(chosen, output, excel)


def _check_binary(chosen: ExportFormat, output: Path | None) -> None:
    if output is None and sys.stdout is not None and sys.stdout.isatty():
        raise SettingsError(
            f"--format {chosen}: no terminal can show that; add -o results.{chosen}, or send it into a pipe"
        )
    try:
        if chosen is ExportFormat.PARQUET:
            # Before its import: of the allocators it can use, the system's takes least and hands back most.
            os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
            import batcher.report.export.parquet
        else:
            import batcher.report.export.xlsx  # noqa: F401 - to see whether its package is there
    except ImportError as exc:
        package = _BINARY[chosen]
        raise SettingsError(
            f"--format {chosen}: needs the package {package} ({exc}): {pip_install(package)}"
        ) from exc


async def _export_ledger(ledger: LedgerReader, to: Destination, signals: Signals) -> str:
    followed = bool(await ledger.tallies_of_tasks())
    own = header(await ledger.own_columns(), followed=followed)
    return await _write(_all(ledger, own, followed), columns_of(followed=followed), own, to, signals)


async def _export_manifest(
    ledger: LedgerReader,
    source: str,
    how: ReadOptions,
    to: Destination,
    signals: Signals,
    warn: Callable[[str], None],
) -> str:
    async with join_results.opened(source, how) as manifest:
        for warning in manifest.warnings:
            warn(warning)
        followed = bool(await ledger.tallies_of_tasks())
        own = header(manifest.columns, followed=followed)
        pages = _of_manifest(ledger, manifest, own, followed)
        return await _write(pages, columns_of(followed=followed), own, to, signals)


async def _all(ledger: LedgerReader, own: dict[str, str], followed: bool) -> AsyncIterator[list[ExportRow]]:
    last = 0
    while page := await ledger.records(after_id=last, limit=PAGE):
        yield [record_row(record, own, followed=followed) for record in page]
        last = page[-1].id


async def _of_manifest(
    ledger: LedgerReader, manifest: Manifest, own: dict[str, str], followed: bool
) -> AsyncIterator[list[ExportRow]]:
    async for page in join_results.matched(manifest, ledger.records_of):
        yield [
            manifest_row(row, record, manifest.source, own, _own_cells(manifest, row, own), followed=followed)
            for row, record in page
        ]


def _own_cells(manifest: Manifest, row: Row | InvalidRow, own: dict[str, str]) -> dict[str, str | None]:
    """What an invalid row holds, under the names of the export."""
    if isinstance(row, Row):
        return {}
    return {own.get(name, name): value or None for name, value in manifest.cells_of(row).items()}


async def _write(
    pages: AsyncIterator[list[ExportRow]],
    ours: Sequence[str],
    own: dict[str, str],
    to: Destination,
    signals: Signals,
) -> str:
    """Write everything; returns what is to be said of it."""
    columns = [encoded(name).decode() for name in (*ours, *own.values())]
    written = 0
    with opened(to.output) as file, _table(to, file, columns, len(ours)) as table:
        async for page in pages:
            table.write(page)
            written += len(page)
        with signals.immediate():
            table.close()
    shortened = getattr(table, "shortened", 0)
    said = f"{written:,} rows"
    if shortened:
        said += f"; {count(shortened, 'cell')} held more than a spreadsheet's cell can and lost the end"
    return said


@contextmanager
def _table(to: Destination, file: BinaryIO, columns: Sequence[str], ours: int) -> Iterator[ResultTable]:
    """The file of results in the making; when it does not come to its end, nothing more is written."""
    match to.format:
        case ExportFormat.CSV:
            yield CsvTable(file, columns, excel=to.excel)
        case ExportFormat.JSONL:
            yield JsonLines(file, columns)
        case ExportFormat.PARQUET:
            from batcher.report.export.parquet import ParquetTable

            with ParquetTable(file, columns, ours) as table:
                yield table
        case ExportFormat.XLSX:
            from batcher.report.export.xlsx import SHEET_COLUMNS, Workbook

            if len(columns) > SHEET_COLUMNS:
                raise SettingsError(
                    f"--format xlsx: {len(columns):,} columns, and a sheet has {SHEET_COLUMNS:,}; "
                    "csv, jsonl and parquet take them all"
                )
            with waiting_room(to.output) as folder, Workbook(file, columns, folder, ours=ours) as table:
                yield table
