"""``discover``: lists the recordings that exist as a manifest, on stdout or in a file.

The list itself is made by ``api/discover``; here are the options, the file and the messages.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.errors import Refused
from batcher.exit_codes import ExitCode
from batcher.report.formatting import count

if TYPE_CHECKING:
    from batcher.api.discover import Discovery, DiscoveryProgress
    from batcher.cli.discovery_request import DiscoveryRequest
    from batcher.cli.resumable_output import ResumableOutput
    from batcher.cli.signals import Signals
    from batcher.cli.terminal.console import Console
    from batcher.report.recording_list import ListFormat

OPTIONS: Final = {
    "since": o.setting(
        str,
        "List recordings created since then: an age (90m, 24h, 7d) or a date (2026-11-30, 2026-11-30T05:30; "
        "local time, or with a zone: 2026-11-30T05:30Z). Required for Tencent.",
        "WHEN",
    ),
    "newest": o.setting(str, "Created until then, likewise. (default: now)", "WHEN", "--until"),
    "prefix": o.setting(str, "The beginning of the names, or of Huawei's object paths.", "TEXT"),
    "category": o.setting(
        list[str], "Video, Audio or Image (Tencent); repeat for more. (default: all)", "NAME"
    ),
    "min_duration": o.setting(
        str, "Leave out recordings known to be shorter (Tencent): 10, 90s, 5m.", "DURATION"
    ),
    "not_in_ledger": o.flag("--not-in-ledger", "Leave out recordings that the ledger already has."),
    "output": o.setting(
        Path, "Write to FILE; a later call resumes it. (default: stdout)", "FILE", "--output", "-o"
    ),
    "format_": o.setting(str, "csv or jsonl. (default: by FILE's name, else csv)", "NAME", "--format"),
    "vendor": o.setting(str, "Where the recordings are kept: Tencent, Huawei or Ws.", "NAME"),
    "rate": o.Rate,
    "timeout": o.Timeout,
    "max_duration": o.MaxDuration,
    **o.COMMON,
}


@command("discover", options=OPTIONS)
async def discover(call: Invocation) -> int:
    """List the recordings that exist, as a manifest.

    Searches the vendor for all recordings of a time (Tencent) or under a path (Huawei) and lists each once:
    id, name, creation time, duration, size and URL. The list goes to stdout, ready for a run, or to FILE. An
    interrupted list stays in FILE.part, and the same command resumes it. A second with more than 5,000
    recordings cannot be listed completely; stderr reports it.

    Needs the same credentials as `batcher run`. Searches have a limit of their own, 20 a second.

    Exit codes: 0 all are listed; 1 the list is incomplete, stderr says where; 2 usage or settings; 3 the
    service refuses the search; 4 time limit (--max-duration) reached; 6 the ledger cannot be read
    (--not-in-ledger); 130, 143 stopped by a signal.

    Example:  batcher discover --vendor Tencent --since 24h -o new.csv
    """
    from batcher.cli.discovery_request import DiscoveryRequest

    given = call.given
    request = DiscoveryRequest(
        given["since"],
        given["newest"],
        given["prefix"] or "",
        tuple(given["category"] or ()),
        given["min_duration"],
        bool(given["not_in_ledger"]),
        given["format_"],
    )
    return await list_recordings(call, request, given["output"])


PROGRESS_EVERY_S = 10.0


async def list_recordings(call: Invocation, request: DiscoveryRequest, output: Path | None) -> int:
    """Write the list page by page; a signal or the time limit keeps what the file has."""
    import asyncio

    from batcher.api.discover import Discovery
    from batcher.cli.resumable_output import resumable_output
    from batcher.cli.signals import Signals
    from batcher.cli.terminal.discovery_text import finished, in_outage, stopped
    from batcher.flowcontrol.deadline import Deadline

    settings, console = call.settings, call.console
    format_, criteria = request.list_format(output), request.filter(settings.vendor)
    account = call.account
    with Signals() as signals, resumable_output(output, request.identity(criteria, format_)) as target:
        discovery = Discovery(
            criteria,
            account,
            ledger=settings.ledger if request.not_in_ledger else None,
            resume_from=_recorded_progress(target, output, console),
            endpoint=settings.endpoint,
            rate_per_s=settings.rate,
            timeout_s=settings.timeout,
            on_event=console.on_event,
        )
        try:
            async with Deadline(settings.max_duration).limit():
                await _write_pages(discovery, target, format_, signals, console)
        except asyncio.CancelledError:
            if signals.code is None:
                raise
            console.say(stopped(output, _listed(discovery, output)))
            return signals.code
        except TimeoutError:
            kept = stopped(output, _listed(discovery, output))
            console.say(f"--max-duration reached{in_outage(discovery.outage)}; {kept}")
            return ExitCode.WORK_LEFT
        except Refused as exc:
            raise Refused(*exc.lines, stopped(output, _listed(discovery, output))) from exc
    console.say(finished(criteria, output, discovery.progress))
    return ExitCode.TROUBLE if discovery.progress.shortfalls else ExitCode.DONE


def _listed(discovery: Discovery, output: Path | None) -> int:
    """Return how many recordings are listed: all that were written; in a file, those that stay."""
    return discovery.progress.listed if output is None else discovery.resume_from.listed


def _recorded_progress(
    target: ResumableOutput, output: Path | None, console: Console
) -> DiscoveryProgress | None:
    """Return the progress that an earlier call recorded, and repeat its warnings."""
    from batcher.api.discover import DiscoveryProgress

    if target.before is None:
        return None
    recorded: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in target.before.items()
    }
    progress = DiscoveryProgress(**recorded)
    console.say(f"{output}: resuming after {count(progress.listed, 'recording')} of an earlier call")
    for shortfall in progress.shortfalls:
        console.warn(shortfall)
    return progress


async def _write_pages(
    discovery: Discovery, target: ResumableOutput, format_: ListFormat, signals: Signals, console: Console
) -> None:
    """Write the heading of a new list and all pages; show warnings and progress on the way."""
    from batcher.cli.terminal.discovery_text import progress_text
    from batcher.cli.terminal.progress import ProgressLines
    from batcher.report.recording_list import head, lines

    progress_lines = ProgressLines(console, PROGRESS_EVERY_S)
    if target.before is None:
        target.write(head(format_), asdict(discovery.progress))
    async with aclosing(discovery.pages()) as pages:
        async for page in pages:
            if page.shortfall:
                console.warn(page.shortfall)
            reached = None if page.resume_from is None else asdict(page.resume_from)
            with signals.immediate():
                target.write(lines(page.recordings, format_), reached)
            progress = discovery.progress
            counts = {"listed": progress.listed, "left_out": progress.left_out}
            progress_lines.show(partial(progress_text, progress), partial(dict, counts))
    target.finish()
