"""``export``: results to stdout or a file, of the whole ledger or of one manifest's rows."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from batcher.cli.console import Console
from batcher.cli.running import how_to_read
from batcher.errors import BatcherError, SettingsError
from batcher.ledger import LedgerReader, ledger_path, open_for_reading
from batcher.loader import in_thread
from batcher.manifest import Manifest, open_manifest
from batcher.model import FileId, InvalidRow, Parameters, Row
from batcher.records import Record
from batcher.report.export import COLUMNS, ExportRow, csv_writer, header, json_line, manifest_row, record_row
from batcher.settings import Settings

PAGE = 500
_BOM = "\ufeff"


async def export_results(
    settings: Settings,
    manifest: str | None,
    output: Path | None,
    console: Console,
    *,
    format_: str,
    excel: bool,
) -> int:
    """Write all results, page by page."""
    if format_ not in {"csv", "jsonl"}:
        raise SettingsError(f"--format {format_}: give csv or jsonl")
    if excel and format_ != "csv":
        raise SettingsError("--excel: goes with --format csv")
    how = how_to_read(settings)
    async with await open_for_reading(ledger_path(settings.ledger)) as ledger:
        if manifest is None:
            own = header(name for load in await ledger.loads() for name in load.columns)
            written = await _write(_all(ledger, own), own, output, format_=format_, excel=excel)
        else:
            opened = await in_thread(open_manifest, manifest, defaults=how.defaults, encoding=how.encoding)
            with opened:
                await in_thread(opened.check)
                own = header(opened.columns)
                rows = _of_manifest(ledger, opened, own)
                written = await _write(rows, own, output, format_=format_, excel=excel)
    if output is not None:
        console.say(f"{output}: {written:,} rows")
    return 0


async def _all(ledger: LedgerReader, own: dict[str, str]) -> AsyncIterator[ExportRow]:
    last = 0
    while page := await ledger.records(after_id=last, limit=PAGE):
        for record in page:
            yield record_row(record, own)
        last = page[-1].id


async def _of_manifest(
    ledger: LedgerReader, manifest: Manifest, own: dict[str, str]
) -> AsyncIterator[ExportRow]:
    rows = iter(manifest)
    while page := await in_thread(lambda: list(islice(rows, PAGE))):
        found: dict[tuple[FileId, Parameters], Record] = {
            (record.file_id, record.parameters): record
            for record in await ledger.records_of(row.file_id for row in page if isinstance(row, Row))
        }
        for row in page:
            known = _own_cells(manifest, row, own) if isinstance(row, InvalidRow) else {}
            record = found.get((row.file_id, row.parameters)) if isinstance(row, Row) else None
            yield manifest_row(row, record, manifest.source, own, known)


def _own_cells(manifest: Manifest, row: InvalidRow, own: dict[str, str]) -> ExportRow:
    """What an invalid row holds, under the names of the export."""
    known: ExportRow = {}
    for name, value in manifest.cells_of(row).items():
        known[own.get(name, name)] = value or None
    return known


async def _write(
    rows: AsyncIterator[ExportRow],
    own: dict[str, str],
    output: Path | None,
    *,
    format_: str,
    excel: bool,
) -> int:
    columns = [*COLUMNS, *own.values()]
    line: Callable[[ExportRow], str] = json_line
    written = 0
    with _opened(output) as file:
        if format_ == "csv":
            line = csv_writer(columns, excel=excel)
            file.write((_BOM if excel else "") + line({name: name for name in columns}))
        async for row in rows:
            file.write(line(row))
            written += 1
        file.flush()
    return written


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that comes into being whole: written beside, then renamed."""
    if output is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr] # a text stream
        yield sys.stdout
        return
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - a descriptor
                yield file
                file.flush()
                os.fsync(descriptor)
            Path(beside).chmod(0o666 & ~_umask())
            Path(beside).replace(output)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise BatcherError(f"--output {output}: cannot be written: {exc.strerror}") from exc


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
