"""Options that more than one command takes, declared once.

Used by the command files. Imported for every ``--help``, so nothing heavy is imported here. Defaults are
stated in :mod:`batcher.config.defaults`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from batcher.config import defaults

ROWS = "How rows are read"
RUN = "How a run goes"
TRACKED = "Following the tasks"
WATCHED = "How a run is watched"
EVERYWHERE = "Everywhere"


def setting(
    kind: type, text: str, metavar: str | None = None, *names: str, panel: str | None = None, **bounds: int
) -> Any:  # noqa: ANN401 - a type
    """Declare an option of a setting; it is None when it is not given.

    Args:
        kind: the type of its value.
        text: its help.
        metavar: what the help calls its value.
        names: its names, when they are not that of the parameter.
        panel: the heading of the help under which it is listed.
        bounds: ``min`` and ``max`` of a number.
    """
    option = typer.Option(
        *names,
        help=text,
        metavar=metavar,
        rich_help_panel=panel,
        min=bounds.get("min"),
        max=bounds.get("max"),
    )
    return Annotated[kind | None, option]


def flag(name: str, text: str, *names: str, panel: str | None = None) -> Any:  # noqa: ANN401 - a type
    """Declare an option without a value; see :func:`setting`."""
    return setting(bool, text, None, name, *names, panel=panel)


def none_for_stdout(output: Path | None) -> Path | None:
    """Return the file that ``-o`` names; None for ``-``, which is stdout as in most programs."""
    return None if output is not None and str(output) == "-" else output


Manifests = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MANIFEST",
        help="Files, URLs and quoted patterns ('new/*.csv'); - for stdin. CSV, text, JSON lines, JSON, "
        "Parquet, XLSX, XLS, XLSB or ODS, also compressed (.gz, .bz2, .xz, .zst).",
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

_FORMAT_HELP = (
    "Format of the manifest: csv, text, jsonl, json, parquet, xlsx, xls, xlsb or ods. (default: as its name "
    "says; csv for stdin)"
)
Format = setting(str, _FORMAT_HELP, "NAME", "--format", "--manifest-format", panel=ROWS)
ManifestFormat = setting(str, _FORMAT_HELP, "NAME", "--manifest-format", panel=ROWS)
Vendor = setting(str, "The cloud that stores the recordings: Tencent or Huawei.", "NAME", panel=ROWS)
Encoding = setting(str, "Encoding of the manifest, if not UTF-8 or marked UTF-16.", "NAME", panel=ROWS)
Sheet = setting(str, "Sheet of a workbook. (default: the only one with a header)", "NAME", panel=ROWS)

Rate = setting(float, f"Requests per second at most. (default: {defaults.RATE_PER_S:g})", "N", panel=RUN)
Concurrency = setting(int, f"Requests in flight at most. (default: {defaults.CONCURRENCY})", "N", panel=RUN)
Timeout = setting(
    str,
    f"How long one request may take. (default: {defaults.duration_text(defaults.TIMEOUT_S)})",
    "DURATION",
    panel=RUN,
)
MaxDuration = setting(
    str, "Drain and end after this time: 90m, 4h. The next run continues.", "DURATION", panel=RUN
)
Progress = setting(
    str,
    "auto (a display on a terminal, else plain), plain (a line every "
    f"{defaults.PLAIN_PROGRESS_EVERY_S:g} s), none. (default: {defaults.PROGRESS})",
    "HOW",
    panel=RUN,
)
GiveUp = setting(
    str,
    "A task that has not ended this long after it was submitted is unknown. "
    f"(default: {defaults.duration_text(defaults.GIVE_UP_S)})",
    "DURATION",
    panel=TRACKED,
)

# -- options that commands take together -----------------------------------------------------------------

WITHOUT_LEDGER: Final[dict[str, Any]] = {
    "config": setting(
        Path, f"A file of settings. (default: {defaults.CONFIG}, if there)", "FILE", panel=EVERYWHERE
    ),
    "verbose": flag("--verbose", "Show more details.", "-v", panel=EVERYWHERE),
    "quiet": flag("--quiet", "Show problems only.", "-q", panel=EVERYWHERE),
    "log_format": setting(
        str,
        f"Format of stderr: text, or json, one object a line. (default: {defaults.LOG_FORMAT})",
        "text|json",
        panel=EVERYWHERE,
    ),
}
"""Options of every command that has settings."""

COMMON: Final[dict[str, Any]] = {
    "ledger": setting(
        str,
        f"The ledger, a path or SQLAlchemy URL. (default: {defaults.LEDGER})",
        "PATH",
        "--ledger",
        "-l",
        panel=EVERYWHERE,
    ),
    **WITHOUT_LEDGER,
}
"""Options of every command that uses a ledger."""

LOCKED: Final[dict[str, Any]] = {
    "wait_lock": setting(
        str,
        "Wait this long for another run to release the ledger: 90s, 10m. (default: do not wait)",
        "DURATION",
        panel=EVERYWHERE,
    ),
    **COMMON,
}
"""Options of a command that holds the ledger's lock."""

DEFAULTS: Final[dict[str, Any]] = {
    "type_": setting(
        str,
        "SnapshotByTimeOffset or SampleSnapshot. (default: the first if offsets are given, else the second)",
        "NAME",
        "--type",
        panel=ROWS,
    ),
    "definition": setting(str, "Snapshot template (Tencent), a number.", "ID", panel=ROWS),
    "interval": setting(str, "Seconds between snapshots (Huawei).", "SECONDS", panel=ROWS),
    "offset": setting(list[str], "A time in seconds; repeat for more.", "SECONDS", panel=ROWS),
}
"""Values for what rows leave out, except the vendor."""

READING: Final[dict[str, Any]] = {
    "vendor": Vendor,
    **DEFAULTS,
    "encoding": Encoding,
    "manifest_format": Format,
    "sheet": Sheet,
    "trust_ids": flag("--trust-ids", "Accept ids that look rounded by a spreadsheet.", panel=ROWS),
    "allow_resubmit": flag(
        "--allow-resubmit",
        "Accept an archive that is in the ledger already under other parameters.",
        panel=ROWS,
    ),
}
"""Options for reading manifests."""

SENDING: Final[dict[str, Any]] = {
    "rate": Rate,
    "concurrency": Concurrency,
    "timeout": Timeout,
    "in_doubt": setting(
        str,
        "A submission whose answer is missing: retry (after all others) or hold. "
        f"(default: {defaults.IN_DOUBT})",
        "POLICY",
        panel=RUN,
    ),
    "limit": setting(int, "Submit this many, then end.", "N", panel=RUN),
    "max_duration": MaxDuration,
    "until": setting(
        str, "Drain and end at this local time of day: 05:30. The next run continues.", "HH:MM", panel=RUN
    ),
    "max_failures": setting(
        str,
        "Halt at this many rejected or failed in this run, at a share of the last 200 that ended "
        f"(P%), or never (off). (default: {defaults.MAX_FAILURES})",
        "N|P%|off",
        panel=RUN,
    ),
    "dry_run": flag(
        "--dry-run",
        "Show what a run would do. Sends nothing, writes nothing, needs no credentials.",
        panel=RUN,
    ),
    "track": flag("--track", "Poll the tasks as well, and end when all have ended.", panel=TRACKED),
    "track_timeout": setting(
        str,
        "With --track: how long to wait for tasks after all is sent. "
        f"(default: {defaults.duration_text(defaults.TRACK_TIMEOUT_S)})",
        "DURATION",
        panel=TRACKED,
    ),
    "give_up": GiveUp,
    "progress": Progress,
    "metrics_port": setting(
        int,
        "Serve metrics for Prometheus during the run; 0 takes a free port. (default: do not)",
        "N",
        panel=WATCHED,
    ),
    "metrics_host": setting(
        str,
        f"The address that metrics are served at. (default: {defaults.METRICS_HOST})",
        "ADDRESS",
        panel=WATCHED,
    ),
    "metrics_file": setting(
        str,
        "Write the same metrics to a file for the node exporter, every "
        f"{defaults.METRICS_EVERY_S:g} s and at the end.",
        "FILE.prom",
        panel=WATCHED,
    ),
    "alone": flag(
        "--alone",
        "Refuse to join a run that is sending on the same ledger in PostgreSQL.",
        panel=RUN,
    ),
    "ledger_patience": setting(
        str,
        "How long to wait for PostgreSQL while it cannot be reached. "
        f"(default: {defaults.duration_text(defaults.LEDGER_PATIENCE_S)})",
        "DURATION",
        panel=RUN,
    ),
    "new_ledger": flag(
        "--new-ledger",
        "Without a terminal: create a missing ledger even if it is not named.",
        panel=RUN,
    ),
}
"""Options of a run, besides those for reading manifests."""
