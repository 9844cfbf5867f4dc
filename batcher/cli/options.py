"""Options that more than one command takes, declared once.

Used by the command files. Imported for every ``--help``, so nothing heavy is imported here. Defaults are
stated in :mod:`batcher.config.defaults`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from batcher.config import defaults

ROWS = "How rows are read"
RUN = "How a run goes"
TRACKED = "Following the tasks"
WATCHED = "How a run is watched"
EVERYWHERE = "Everywhere"


def none_for_stdout(output: Path | None) -> Path | None:
    """Return the file that ``-o`` names; None for ``-``, which is stdout as in most programs."""
    return None if output is not None and str(output) == "-" else output


Manifests = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MANIFEST",
        help="Files, URLs and quoted patterns ('new/*.csv'); - for stdin. CSV, text, JSON lines, JSON, "
        "Parquet or XLSX, also compressed (.gz, .zst).",
    ),
]

Vendor = Annotated[
    str | None,
    typer.Option(
        help="The cloud that stores the recordings: Tencent or Huawei.", metavar="NAME", rich_help_panel=ROWS
    ),
]
Type = Annotated[
    str | None,
    typer.Option(
        "--type",
        help="SnapshotByTimeOffset or SampleSnapshot. (default: the first if offsets are "
        "given, else the second)",
        metavar="NAME",
        rich_help_panel=ROWS,
    ),
]
Definition = Annotated[
    str | None,
    typer.Option(help="Snapshot template (Tencent), a number.", metavar="ID", rich_help_panel=ROWS),
]
Interval = Annotated[
    str | None,
    typer.Option(help="Seconds between snapshots (Huawei).", metavar="SECONDS", rich_help_panel=ROWS),
]
Offset = Annotated[
    list[str] | None,
    typer.Option(help="A time in seconds; repeat for more.", metavar="SECONDS", rich_help_panel=ROWS),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of the manifest, if not UTF-8 or marked UTF-16.", metavar="NAME", rich_help_panel=ROWS
    ),
]
_FORMAT_HELP = "csv, text, jsonl, json, parquet or xlsx. (default: as its name says; csv for stdin)"
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "--manifest-format",
        help=f"Format of the manifest: {_FORMAT_HELP}",
        metavar="NAME",
        rich_help_panel=ROWS,
    ),
]
ManifestFormat = Annotated[
    str | None,
    typer.Option(
        "--manifest-format",
        help=f"Format of the manifest: {_FORMAT_HELP}",
        metavar="NAME",
        rich_help_panel=ROWS,
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option(
        help="Sheet of a workbook. (default: the only one with a header)",
        metavar="NAME",
        rich_help_panel=ROWS,
    ),
]
TrustIds = Annotated[
    bool | None,
    typer.Option("--trust-ids", help="Accept ids that look rounded by a spreadsheet.", rich_help_panel=ROWS),
]
AllowResubmit = Annotated[
    bool | None,
    typer.Option(
        "--allow-resubmit",
        help="Accept an archive that is in the ledger already under other parameters.",
        rich_help_panel=ROWS,
    ),
]

Rate = Annotated[
    float | None,
    typer.Option(
        help=f"Requests per second at most. (default: {defaults.RATE_PER_S:g})",
        metavar="N",
        rich_help_panel=RUN,
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        help=f"Requests in flight at most. (default: {defaults.CONCURRENCY})",
        metavar="N",
        rich_help_panel=RUN,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        help=f"How long one request may take. (default: {defaults.duration_text(defaults.TIMEOUT_S)})",
        metavar="DURATION",
        rich_help_panel=RUN,
    ),
]
InDoubt = Annotated[
    str | None,
    typer.Option(
        help="A submission whose answer is missing: retry (after all others) or hold. "
        f"(default: {defaults.IN_DOUBT})",
        metavar="POLICY",
        rich_help_panel=RUN,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Submit this many, then end.", metavar="N", rich_help_panel=RUN),
]
MaxDuration = Annotated[
    str | None,
    typer.Option(
        "--max-duration",
        help="Drain and end after this time: 90m, 4h. The next run continues.",
        metavar="DURATION",
        rich_help_panel=RUN,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        help="Drain and end at this local time of day: 05:30. The next run continues.",
        metavar="HH:MM",
        rich_help_panel=RUN,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show what a run would do. Sends nothing, writes nothing, needs no credentials.",
        rich_help_panel=RUN,
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        help="Halt at this many rejected or failed in this run, at a share of the last 200 that ended "
        f"(P%), or never (off). (default: {defaults.MAX_FAILURES})",
        metavar="N|P%|off",
        rich_help_panel=RUN,
    ),
]
Progress = Annotated[
    str | None,
    typer.Option(
        help="auto (a display on a terminal, else plain), plain (a line every "
        f"{defaults.PLAIN_PROGRESS_EVERY_S:g} s), none. (default: {defaults.PROGRESS})",
        metavar="HOW",
        rich_help_panel=RUN,
    ),
]
Track = Annotated[
    bool | None,
    typer.Option(
        "--track",
        help="Poll the tasks as well, and end when all have ended.",
        rich_help_panel=TRACKED,
    ),
]
TrackTimeout = Annotated[
    str | None,
    typer.Option(
        "--track-timeout",
        help="With --track: how long to wait for tasks after all is sent. "
        f"(default: {defaults.duration_text(defaults.TRACK_TIMEOUT_S)})",
        metavar="DURATION",
        rich_help_panel=TRACKED,
    ),
]
GiveUp = Annotated[
    str | None,
    typer.Option(
        "--give-up",
        help="A task that has not ended this long after it was submitted is unknown. "
        f"(default: {defaults.duration_text(defaults.GIVE_UP_S)})",
        metavar="DURATION",
        rich_help_panel=TRACKED,
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        help="Serve metrics for Prometheus during the run; 0 takes a free port. (default: do not)",
        metavar="N",
        rich_help_panel=WATCHED,
    ),
]
MetricsHost = Annotated[
    str | None,
    typer.Option(
        "--metrics-host",
        help=f"The address that metrics are served at. (default: {defaults.METRICS_HOST})",
        metavar="ADDRESS",
        rich_help_panel=WATCHED,
    ),
]
MetricsFile = Annotated[
    str | None,
    typer.Option(
        "--metrics-file",
        help="Write the same metrics to a file for the node exporter, every "
        f"{defaults.METRICS_EVERY_S:g} s and at the end.",
        metavar="FILE.prom",
        rich_help_panel=WATCHED,
    ),
]
WaitLock = Annotated[
    str | None,
    typer.Option(
        "--wait-lock",
        help="Wait this long for another run to release the ledger: 90s, 10m. (default: do not wait)",
        metavar="DURATION",
        rich_help_panel=EVERYWHERE,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write here, whole or not at all; - is stdout. (default: stdout)",
        callback=none_for_stdout,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")]

Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        "-l",
        help=f"The ledger, a path or SQLAlchemy URL. (default: {defaults.LEDGER})",
        metavar="PATH",
        rich_help_panel=EVERYWHERE,
    ),
]
NewLedger = Annotated[
    bool | None,
    typer.Option(
        "--new-ledger",
        help="Without a terminal: create a missing ledger even if it is not named.",
        rich_help_panel=RUN,
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        help=f"Format of stderr: text, or json, one object a line. (default: {defaults.LOG_FORMAT})",
        metavar="text|json",
        rich_help_panel=EVERYWHERE,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help=f"A file of settings. (default: {defaults.CONFIG}, if there)",
        metavar="FILE",
        rich_help_panel=EVERYWHERE,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Show more details.", rich_help_panel=EVERYWHERE),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show problems only.", rich_help_panel=EVERYWHERE),
]

# -- options that commands take together -----------------------------------------------------------------

WITHOUT_LEDGER: Final[dict[str, Any]] = {
    "config": Config,
    "verbose": Verbose,
    "quiet": Quiet,
    "log_format": LogFormat,
}
"""Options of every command that has settings."""

COMMON: Final[dict[str, Any]] = {"ledger": Ledger, **WITHOUT_LEDGER}
"""Options of every command that uses a ledger."""

LOCKED: Final[dict[str, Any]] = {"wait_lock": WaitLock, **COMMON}
"""Options of a command that holds the ledger's lock."""

DEFAULTS: Final[dict[str, Any]] = {
    "type_": Type,
    "definition": Definition,
    "interval": Interval,
    "offset": Offset,
}
"""Values for what rows leave out, except the vendor."""

READING: Final[dict[str, Any]] = {
    "vendor": Vendor,
    **DEFAULTS,
    "encoding": Encoding,
    "manifest_format": Format,
    "sheet": Sheet,
    "trust_ids": TrustIds,
    "allow_resubmit": AllowResubmit,
}
"""Options for reading manifests."""


def not_given(kind: Any) -> Any:  # noqa: ANN401 - the type of any option
    """Return the value of an option that is not given."""
    return False if get_args(kind)[0] is bool else None
