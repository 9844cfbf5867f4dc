"""Options that more than one command takes, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

ROWS = "How rows are read"
RUN = "How a run goes"
TRACKED = "What becomes of the tasks"
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
        help="Where the recordings are kept: Tencent or Huawei.", metavar="NAME", rich_help_panel=ROWS
    ),
]
Type = Annotated[
    str | None,
    typer.Option(
        "--type",
        help="SnapshotByTimeOffset or SampleSnapshot; left out everywhere: the first when offsets are given.",
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
        help="Of the manifest, if not UTF-8 or marked UTF-16.", metavar="NAME", rich_help_panel=ROWS
    ),
]
_FORMAT_HELP = "csv, text, jsonl, json, parquet or xlsx. (default: as its name says; csv for stdin)"
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "--manifest-format",
        help=f"Of the manifest: {_FORMAT_HELP}",
        metavar="NAME",
        rich_help_panel=ROWS,
    ),
]
ManifestFormat = Annotated[
    str | None,
    typer.Option(
        "--manifest-format", help=f"Of the manifest: {_FORMAT_HELP}", metavar="NAME", rich_help_panel=ROWS
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option(
        help="Of a workbook. (default: the only one with a header)", metavar="NAME", rich_help_panel=ROWS
    ),
]
TrustIds = Annotated[
    bool | None,
    typer.Option("--trust-ids", help="Take ids that look rounded by a spreadsheet.", rich_help_panel=ROWS),
]
AllowResubmit = Annotated[
    bool | None,
    typer.Option(
        "--allow-resubmit",
        help="Take an archive that is in the ledger already under other parameters.",
        rich_help_panel=ROWS,
    ),
]

Rate = Annotated[
    float | None,
    typer.Option(help="Requests per second at most. (default: 20)", metavar="N", rich_help_panel=RUN),
]
Concurrency = Annotated[
    int | None,
    typer.Option(help="Requests under way at once at most. (default: 64)", metavar="N", rich_help_panel=RUN),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        help="How long one request may take. (default: 30s)", metavar="DURATION", rich_help_panel=RUN
    ),
]
InDoubt = Annotated[
    str | None,
    typer.Option(
        help="A submission whose answer is missing: retry (after all others) or hold. (default: retry)",
        metavar="POLICY",
        rich_help_panel=RUN,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Take up this many submissions, then end.", metavar="N", rich_help_panel=RUN),
]
MaxDuration = Annotated[
    str | None,
    typer.Option(
        "--max-duration",
        help="Drain and end after so long: 90m, 4h. The next run goes on.",
        metavar="DURATION",
        rich_help_panel=RUN,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        help="Drain and end at this time of day, local time, the next one: 05:30. The next run goes on.",
        metavar="HH:MM",
        rich_help_panel=RUN,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what a run would do. Sends nothing, writes nothing, needs no credentials.",
        rich_help_panel=RUN,
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        help="Halt at so many rejected or failed ones in this run, at a share of the last 200 that ended "
        "(P%), or never (off). (default: 50%)",
        metavar="N|P%|off",
        rich_help_panel=RUN,
    ),
]
Progress = Annotated[
    str | None,
    typer.Option(
        help="auto (a display on a terminal, else plain), plain (a line every 30 s), none. (default: auto)",
        metavar="HOW",
        rich_help_panel=RUN,
    ),
]
Track = Annotated[
    bool | None,
    typer.Option(
        "--track",
        help="Ask what has become of the tasks as well, and end when all have ended.",
        rich_help_panel=TRACKED,
    ),
]
TrackTimeout = Annotated[
    str | None,
    typer.Option(
        "--track-timeout",
        help="With --track: once all is sent, wait so long for tasks to end. (default: 1h)",
        metavar="DURATION",
        rich_help_panel=TRACKED,
    ),
]
GiveUp = Annotated[
    str | None,
    typer.Option(
        "--give-up",
        help="A task that has not ended so long after it was submitted is unknown. (default: 48h)",
        metavar="DURATION",
        rich_help_panel=TRACKED,
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        help="Serve figures for Prometheus while the run goes on; 0 takes a free port. (default: do not)",
        metavar="N",
        rich_help_panel=WATCHED,
    ),
]
MetricsHost = Annotated[
    str | None,
    typer.Option(
        "--metrics-host",
        help="At which of this machine's addresses. (default: 127.0.0.1)",
        metavar="ADDRESS",
        rich_help_panel=WATCHED,
    ),
]
MetricsFile = Annotated[
    str | None,
    typer.Option(
        "--metrics-file",
        help="Keep the same figures in a file for the node exporter, written every 30 s and at the end.",
        metavar="FILE.prom",
        rich_help_panel=WATCHED,
    ),
]
WaitLock = Annotated[
    str | None,
    typer.Option(
        "--wait-lock",
        help="Wait so long for another run to let go of the ledger: 90s, 10m. (default: do not wait)",
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
Json = Annotated[bool, typer.Option("--json", help="For programs: one JSON object on stdout.")]

Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        "-l",
        help="The ledger, a path or SQLAlchemy URL. (default: batcher.db)",
        metavar="PATH",
        rich_help_panel=EVERYWHERE,
    ),
]
NewLedger = Annotated[
    bool | None,
    typer.Option(
        "--new-ledger",
        help="Without a terminal: create the ledger if there is none, although it is not named.",
        rich_help_panel=RUN,
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        help="What stderr is: text for people, or json, one object a line. (default: text)",
        metavar="text|json",
        rich_help_panel=EVERYWHERE,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="A file of settings. (default: batcher.toml, if there)",
        metavar="FILE",
        rich_help_panel=EVERYWHERE,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say more of what is done.", rich_help_panel=EVERYWHERE),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say only what is wrong.", rich_help_panel=EVERYWHERE),
]

# -- which commands take together --------------------------------------------------------------------------

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
"""What rows leave out, but for the vendor."""

READING: Final[dict[str, Any]] = {
    "vendor": Vendor,
    **DEFAULTS,
    "encoding": Encoding,
    "manifest_format": Format,
    "sheet": Sheet,
    "trust_ids": TrustIds,
    "allow_resubmit": AllowResubmit,
}
"""How manifests are read."""


def not_given(kind: Any) -> Any:  # noqa: ANN401 - the type of any option
    """The value of an option that is not given."""
    return False if get_args(kind)[0] is bool else None
