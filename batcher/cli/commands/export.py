"""``batcher export``: results to stdout or a file, of the whole ledger or of one manifest's rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.errors import SettingsError
from batcher.report.formatting import count

if TYPE_CHECKING:
    from batcher.api.export import ExportResult, ExportSettings


@command("export", options={**o.READING, "manifest_format": o.ManifestFormat, **o.COMMON})
async def export(
    call: Invocation,
    manifest: Annotated[
        str | None, typer.Argument(metavar="MANIFEST", help="Export this file's rows, in its order.")
    ] = None,
    output: o.Output = None,
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
    """Write the results, one row per submission or manifest row.

    A manifest is read with the options of its last load, unless others are given. Invalid
    rows and rows that are not loaded yet are included and marked.

    Exit codes: 0; 2 settings or manifest; 6 there is no ledger, or it cannot be read.

    Example:  batcher export archive.csv --vendor Huawei --interval 5 -o out.csv
    """
    return await _export(call, manifest, output, format_, excel=excel)


async def _export(
    call: Invocation, manifest: str | None, output: Path | None, format_: str | None, *, excel: bool
) -> int:
    """Write all results; a signal ends the command and leaves no incomplete file."""
    from batcher.api.export import export_ledger, export_manifest
    from batcher.cli.library_call import named_options
    from batcher.cli.output_file import folder_of, opened
    from batcher.cli.read_options import how_to_read
    from batcher.cli.signals import Signals

    ledger = call.settings.ledger
    with Signals() as signals, named_options({"format": "--format", "excel": "--excel"}):
        form, read = export_settings(format_, output, excel=excel), how_to_read(call.settings)
        scratch, last_part = folder_of(output), signals.immediate()
        with opened(output) as file:
            if manifest is None:
                done = await export_ledger(ledger, file, form, scratch=scratch, last_part=last_part)
            else:
                done = await export_manifest(
                    *(ledger, manifest, file, form),
                    read=read,
                    scratch=scratch,
                    on_note=call.console.say,
                    on_warning=call.console.warn,
                    last_part=last_part,
                )
    if signals.cancelled is not None:
        return signals.cancelled
    if output is not None:
        call.console.say(f"{output}: {_result_text(done)}")
    elif missing := _missing_text(done):
        call.console.say(f"{manifest}: {missing}")
    return 0


def export_settings(format_: str | None, output: Path | None, *, excel: bool) -> ExportSettings:
    """Return the form of the file: the format given, else that of the file's name, else CSV.

    Raises:
        SettingsError: the options contradict each other, a package is missing, or a terminal cannot show
            the format.
    """
    from batcher.api.export import ExportFormat, ExportSettings

    if format_ is not None and format_ not in set(ExportFormat):
        raise SettingsError(f"--format {format_}: give csv, jsonl, parquet or xlsx")
    ending = output.suffix.lower().removeprefix(".") if output else ""
    by_name = ExportFormat(ending) if ending in set(ExportFormat) else None
    chosen = ExportFormat(format_) if format_ else (by_name or ExportFormat.CSV)
    if by_name not in (None, chosen):
        raise SettingsError(f"--format {chosen} -o {output}: the name says {by_name}; change one of the two")
    if output and ending in _COMPRESSED_ENDINGS:
        raise SettingsError(
            f"-o {output}: results are written without compression; name it {_renamed(output, format_)}, and "
            "compress it afterwards"
        )
    if output and ending in _OTHER_ENDINGS:
        raise SettingsError(
            f"-o {output}: {chosen} in a file that ends in .{ending} would mislead other programs; "
            f"name it {_renamed(output, format_)}"
        )
    form = ExportSettings(chosen, excel)
    if chosen.is_binary and output is None and sys.stdout is not None and sys.stdout.isatty():
        raise SettingsError(
            f"--format {chosen}: a terminal cannot show it; add -o results.{chosen}, or pipe it to a program"
        )
    return form


def _renamed(output: Path, format_: str | None) -> str:
    """Return a name without endings that mislead, and with the one of its format."""
    from batcher.api.export import ExportFormat

    path, ending = output, output.suffix.lower().removeprefix(".")
    while ending in _OTHER_ENDINGS | _COMPRESSED_ENDINGS:
        path = path.with_suffix("")
        ending = path.suffix.lower().removeprefix(".")
    if ending not in set(ExportFormat):
        return f"{path.name}.{format_ or ExportFormat.CSV}"
    return path.with_suffix(f".{format_}").name if format_ else path.name


_OTHER_ENDINGS = frozenset(
    ["json", "tsv", "xls", "xlsb", "xlsm", "ods", "html", "htm", "xml", "yaml", "pdf", "db", "sqlite"]
)
"""Endings of file names that name formats that are not written."""
_COMPRESSED_ENDINGS = frozenset(["gz", "bz2", "xz", "zst", "zip"])


def _missing_text(done: ExportResult) -> str:
    """Return how many rows of the manifest have no submission; empty when all have one."""
    invalid = [f"{count(done.invalid, 'row')} invalid"] if done.invalid else []
    not_loaded = [f"{count(done.not_loaded, 'row')} not loaded"] if done.not_loaded else []
    return ", ".join(invalid + not_loaded)


def _result_text(done: ExportResult) -> str:
    missing = _missing_text(done)
    text = f"{done.rows:,} rows" + (f"; {missing}" if missing else "")
    if done.shortened:
        cells = count(done.shortened, "cell")
        text += f"; {cells} held more than a cell of a spreadsheet can, and lost the end"
    return text
