"""``verify-ids``: checks a manifest's ids and writes what is wrong as CSV, to stdout or a file.

The ids are looked up by ``api/verify_ids``; here are the options, the file and the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.exit_codes import ExitCode
from batcher.report.formatting import count

if TYPE_CHECKING:
    from batcher.api.verify_ids import IdCounts, IdVerification, KnownRecordings
    from batcher.cli.terminal.console import Console

OPTIONS: Final = {
    "known": o.setting(
        list[str],
        "A list of existing recordings, such as `discover` writes, in which the originals of rounded ids are "
        "searched. Repeat for more.",
        "FILE",
    ),
    "since": o.setting(
        str,
        "Search the originals of rounded ids among all recordings since then: 30d, 2026-11-30 (local time).",
        "WHEN",
    ),
    "newest": o.setting(str, "Created until then. (default: now)", "WHEN", "--until"),
    "prefix": o.setting(str, "The beginning of their names.", "TEXT"),
    "output": o.setting(
        Path, "Write to FILE, complete or not at all. (default: stdout)", "FILE", "--output", "-o"
    ),
    "vendor": o.Vendor,
    "encoding": o.Encoding,
    "manifest_format": o.Format,
    "sheet": o.Sheet,
    "rate": o.Rate,
    "timeout": o.Timeout,
    **o.WITHOUT_LEDGER,
}


@command("verify-ids", options=OPTIONS)
async def verify_ids(
    call: Invocation,
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="A file, a URL, or - for stdin, read as by `run`.")
    ],
) -> int:
    """Check a manifest's Tencent ids before paying for them.

    Writes one line of CSV for each row with something wrong: missing (no recording has the id), audio_only,
    image, forbidden, archived, refused, or invalid for a row that cannot be sent. A call looks up ten ids;
    200 ids a second are looked up. With --known or --since, an id that a spreadsheet has rounded is reported
    with its original, when exactly one recording fits. Needs the same credentials as `batcher run`.

    Exit codes: 0 all ids are usable; 1 something is wrong with some; 2 settings or manifest; 3 the service
    refuses the search; 130, 143 stopped by a signal.

    Example:  batcher verify-ids archive.csv --since 30d -o wrong.csv
    """
    from batcher.api.verify_ids import IdVerification
    from batcher.cli.output_file import waiting_room
    from batcher.cli.read_options import how_to_read

    settings, console, output = call.settings, call.console, call.given["output"]
    searched = _known(call.given)
    how, account = how_to_read(settings), call.account_for([manifest, *(call.given["known"] or ())])
    with waiting_room(output) as folder:
        verification = IdVerification(
            manifest,
            account,
            how=how,
            known=searched,
            folder=folder,
            endpoint=settings.endpoint,
            rate_per_s=settings.rate,
            timeout_s=settings.timeout,
            on_event=console.on_event,
        )
        return await _write_faults(verification, output, console, can_suggest=searched.any)


COLUMNS = ("source", "line", "file_id", "finding", "detail", "suggestion")


def _known(given: Mapping[str, Any]) -> KnownRecordings:
    """Return where originals are searched, by the options."""
    from datetime import UTC, datetime

    from batcher.api.verify_ids import KnownRecordings
    from batcher.cli.library_call import named_options
    from batcher.cli.time_options import moment_of

    now = datetime.now(UTC)
    with named_options({"since": "--since", "until": "--until", "prefix": "--prefix"}):
        return KnownRecordings(
            tuple(given["known"] or ()),
            moment_of(given["since"], "--since", now),
            moment_of(given["newest"], "--until", now),
            given["prefix"] or "",
        )


async def _write_faults(
    verification: IdVerification, output: Path | None, console: Console, *, can_suggest: bool
) -> int:
    """Write the report; a signal ends it and leaves no file."""
    from batcher.cli.output_file import opened
    from batcher.cli.signals import Signals
    from batcher.discover.id_check import IdFinding

    with Signals() as signals, opened(output) as file:
        heading: list[Sequence[object]] = [COLUMNS]
        async with aclosing(verification.faults()) as pages:
            async for page in pages:
                with signals.immediate():
                    _write(file, [*heading, *page])
                heading = []
        _write(file, heading)
    counts = verification.counts
    if signals.cancelled is not None:
        left = f"{output} was not written" if output else "the list on stdout is incomplete"
        console.problem(f"batcher: stopped after {count(counts.ids, 'id')}; {left}. Run it again")
        return signals.cancelled
    console.say(_finished(output, counts))
    if counts.by_finding[IdFinding.MISSING] > counts.suggested and not can_suggest:
        console.say("The originals of rounded ids can be searched: --since 30d, or --known FILE")
    return ExitCode.TROUBLE if counts.wrong else ExitCode.DONE


def _write(file: BinaryIO, rows: Iterable[Sequence[object]]) -> None:
    from batcher.report.export.text_tables import csv_lines

    file.write(csv_lines(rows))
    file.flush()


def _finished(output: Path | None, counts: IdCounts) -> str:
    text = f"{output}: " if output else ""
    text += f"{count(counts.ids, 'id')} looked up, {count(counts.wrong, 'row')} with something wrong"
    if counts.by_finding:
        text += ": " + ", ".join(
            f"{n:,} {finding.replace('_', ' ')}" for finding, n in sorted(counts.by_finding.items())
        )
    if counts.suggested:
        text += f"; {counts.suggested:,} with a suggestion"
    if counts.elsewhere:
        text += f"; {count(counts.elsewhere, 'row')} not looked up: only Tencent's ids can be looked up"
    return text
