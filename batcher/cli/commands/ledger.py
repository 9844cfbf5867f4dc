"""``ledger``: the commands for a ledger that has grown long; what they do and say."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, app, command, help_text
from batcher.cli.commands import COMMANDS
from batcher.cli.ledger_lock import lock_for
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.help_style import Group
from batcher.cli.terminal.progress import ProgressLines
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.ledger import (
    Inspected,
    Purpose,
    back_up,
    check_file,
    inspect,
    ledger_path,
    open_for_reading,
    open_for_writing,
    open_to_itself,
    repair,
    restore,
    vacuum,
    verify,
)
from batcher.ledger.prune import prune
from batcher.model.submission import EndpointKind
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import PLACES, count, moment, size

HELP = """Look after a ledger that has grown long: what is in it, whether it is whole, copies, room.

Exit codes: 0; 2 usage or settings; 5 a run holds the ledger; 6 the ledger cannot be used, or is not whole.

Example:  batcher ledger info
"""


group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=help_text(HELP))


@command("info", group=group)
def ledger_info(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Say what the ledger's file is made of: schema, size and rows by table, free room.

    Works while a run is going on. Reads the whole file once.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher ledger info --json
    """
    return say_info(call.settings, call.console, as_json=json)


@command("verify", group=group, options=o.LOCKED)
async def ledger_verify(
    call: Invocation,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Count wrong tallies anew; takes the ledger's lock."),
    ] = False,
) -> int:
    """Look whether the ledger is whole: the file, references, tallies, and states against attempts.

    Works while a run is going on, and changes nothing. Each finding is a line on stdout. With --repair,
    tallies that are wrong are counted anew, and nothing else is changed; findings are what is left.

    Exit codes: 0 whole; 2 settings; 5 a run holds the ledger (--repair); 6 something is wrong, or there
    is no ledger.

    Example:  batcher ledger verify
    """
    if repair:
        return await say_repaired(call.settings, call.console)
    return say_verified(call.settings, call.console)


@command("backup", group=group)
def ledger_backup(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to make.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> int:
    """Copy the ledger as it is at this moment.

    Works while a run is going on and does not hold it up. The copy is looked through before it takes its
    name, and is a ledger like any other.

    Exit codes: 0; 2 settings, or FILE cannot be made; 6 there is no ledger, or it cannot be read.

    Example:  batcher ledger backup monday.db
    """
    return make_backup(call.settings, file, call.console, force=force)


# -- commands that hold the ledger's lock ----------------------------------------------------------------


@command("restore", group=group, options=o.LOCKED)
async def ledger_restore(
    call: Invocation,
    backup: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to put in its place.")],
) -> int:
    """Put a backup in the ledger's place.

    FILE is copied and verified first, and stays as it is. The ledger that was there, with its log, is
    kept beside it under a name with the time. Copying a backup over a ledger by hand damages it: the old
    log beside it is applied to the new file.

    Exit codes: 0; 2 settings, or FILE is the ledger itself; 5 a run, track or fetch holds the ledger;
    6 FILE is missing, not whole or from a newer version, or the ledger's folder cannot be written.

    Example:  batcher ledger restore monday.db
    """
    return await restore_backup(call.settings, backup, call.console)


@command("prune", group=group, options=o.LOCKED)
async def ledger_prune(
    call: Invocation,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="DAYS", help="Attempts begun so many days ago: 90 or 90d."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
) -> int:
    """Let go of old attempts that nobody has to look at any more.

    What stays of each submission that has ended is what tells how it ended: the answer that counts, its
    task id, its first and its last request, the last lost answer. Exports do not change, and nothing is
    sent again for it. Loads, runs and invalid rows stay, since what is new is known by them.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher ledger prune --older-than 90d --dry-run
    """
    return await say_pruned(call.settings, older_than, call.console, dry_run=dry_run)


@command("vacuum", group=group, options=o.LOCKED)
async def ledger_vacuum(
    call: Invocation,
) -> int:
    """Give the room that is free inside the file back to the disk.

    Needs twice the ledger's size on its disk for a while, and says so before it begins.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used, or there is no room.

    Example:  batcher ledger vacuum
    """
    return await say_vacuumed(call.settings, call.console)


_DAMAGED = 6
"""The exit code of a ledger that is not whole."""

OLDEST_DAYS = 36_500


def say_info(settings: Settings, console: Console, *, as_json: bool) -> int:
    """Print what the file is made of."""
    found = inspect(ledger_path(settings.ledger))
    if as_json:
        console.data(json.dumps(_info_json(found), ensure_ascii=False))
    else:
        console.show(*_info_lines(found))
    return 0


def say_verified(settings: Settings, console: Console) -> int:
    """Print each thing that is wrong."""
    path = ledger_path(settings.ledger)
    findings = _print_findings(path, console)
    if not findings:
        console.say(f"{path}: whole; tallies, states and attempts agree")
        return 0
    found = f"batcher: {path}: {count(len(findings), 'finding')}"
    if all(map(_is_of_tallies, findings)):
        console.problem(
            f"{found}, of tallies alone. Keep the last backup, and count them anew: "
            f"batcher ledger verify --repair{ledger_option(settings.ledger)}"
        )
    else:
        console.problem(
            f"{found}. Stop runs on this ledger and go back to the last backup: "
            f"batcher ledger restore{ledger_option(settings.ledger)} FILE, which keeps this one; "
            "`batcher export` still reads what can be read"
        )
    return _DAMAGED


async def say_repaired(settings: Settings, console: Console) -> int:
    """Count wrong tallies anew, then print what is still wrong."""
    path = ledger_path(settings.ledger)
    check_file(path)
    lock = await lock_for("ledger verify", path, settings, console)
    async with open_to_itself(path, lock):
        wrong = list(verify(path, _still_looking(console)))
        if any(one.startswith("the file:") for one in wrong):
            console.say(f"{path}: not repaired: the file itself is damaged")
        elif any(map(_is_of_tallies, wrong)):
            repair(path)
            console.say(f"{path}: tallies counted anew, {sum(map(_is_of_tallies, wrong)):,} were wrong")
    return say_verified(settings, console)


def _is_of_tallies(finding: str) -> bool:
    return finding.startswith("tallies:")


def _still_looking(console: Console) -> Callable[[str, float], None]:
    lines = ProgressLines(console)
    return lambda what, _: lines.show(lambda: f"still looking at {what}")


def _print_findings(path: Path, console: Console) -> list[str]:
    findings = []
    for finding in verify(path, _still_looking(console)):
        findings.append(finding)
        console.show(finding)
    return findings


def make_backup(settings: Settings, target: Path, console: Console, *, force: bool) -> int:
    """Copy the ledger as it is now."""
    path = ledger_path(settings.ledger)
    lines = ProgressLines(console)
    copied = back_up(
        path,
        target,
        lambda done, pages: lines.show(lambda: f"{done * 100 // max(pages, 1)} % copied"),
        replace=force,
    )
    console.say(f"{target}: {size(copied)}, looked through and whole; a ledger like any other: -l {target}")
    return 0


async def restore_backup(settings: Settings, backup: Path, console: Console) -> int:
    """Put a backup in the ledger's place, while nothing else works on it."""
    path, backup = ledger_path(settings.ledger), ledger_path(str(backup))
    lines = ProgressLines(console)
    with ExitStack() as held:
        for purpose in Purpose:
            held.enter_context(await lock_for("ledger restore", path, settings, console, purpose))
        done = restore(path, backup, lambda text: lines.show(lambda: text), now=datetime.now(UTC))
    console.say(f"{path}: restored from {backup}, {size(done.bytes)}, verified and whole")
    if done.kept:
        console.warn(
            f"what was sent after that backup was made is on record only in {done.kept}; a run sends it again"
        )
    else:
        console.note(f"new ledger {path}")
    return 0


async def say_pruned(settings: Settings, older_than: str, console: Console, *, dry_run: bool) -> int:
    """Let go of surplus attempts, or say how many there are."""
    before = datetime.now(UTC) - _days(older_than)
    path = ledger_path(settings.ledger)
    if dry_run:
        async with await open_for_reading(path) as reading:
            found = await prune(reading, before, None)
    else:
        check_file(path)
        lock = await lock_for("ledger prune", path, settings, console)
        async with await open_for_writing(path, lock) as ledger:
            found = await prune(ledger, before, ledger.forget)
    of = f"{count(found.attempts, 'attempt')} of {count(found.submissions, 'submission')}"
    if dry_run:
        console.say(f"{path}: would let go of {of}, begun before {moment(before)}")
    else:
        vacuum_it = f"; the room is given back by batcher ledger vacuum{ledger_option(settings.ledger)}"
        gone = f"{path}: let go of {of}, begun before {moment(before)}"
        console.say(gone + (vacuum_it if found.attempts else ""))
    return 0


async def say_vacuumed(settings: Settings, console: Console) -> int:
    """Give empty pages back to the disk."""
    path = ledger_path(settings.ledger)
    check_file(path)
    lock = await lock_for("ledger vacuum", path, settings, console)
    console.say(f"{path}: writing the file anew; track, listen and fetch wait meanwhile")
    async with open_to_itself(path, lock):
        done = vacuum(path)
    console.say(f"{path}: {size(done.before_bytes)} before, {size(done.after_bytes)} now")
    return 0


def _days(text: str) -> timedelta:
    number = text.strip().lower().removesuffix("d")
    if not number.isdecimal() or not 0 < int(number) <= OLDEST_DAYS:
        raise SettingsError(f"--older-than {text}: give days, from 1 to {OLDEST_DAYS:,}, such as 90d")
    return timedelta(days=int(number))


def _info_json(found: Inspected) -> dict[str, object]:
    return {
        "ledger": str(found.path),
        "schema": found.revision,
        "bytes": found.file_bytes,
        "wal_bytes": found.wal_bytes,
        "free_bytes": found.free_bytes,
        "app_id": found.bound[0] if found.bound else None,
        "place": found.bound[1] if found.bound else None,
        "first_run_at": _time(found.runs[0]) or None,
        "last_run_at": _time(found.runs[1]) or None,
        "tables": {
            part.name: {"rows": part.rows, "bytes": part.bytes, "estimated": part.estimated}
            for part in found.parts
        },
    }


def _info_lines(found: Inspected) -> list[str]:
    to = f"AppId {found.bound[0]} and {PLACES[EndpointKind(found.bound[1])]}" if found.bound else "no run yet"
    lines = [
        f"{found.path}   schema {found.revision}   {to}",
        "",
        f"  {'file':<14}{size(found.file_bytes):>12}   of which {size(found.free_bytes)} are free",
        f"  {'log beside it':<14}{size(found.wal_bytes):>12}",
        "",
        f"  {'table':<14}{'rows':>12}{'size':>14}",
    ]
    for part in sorted(found.parts, key=lambda part: -part.bytes):
        about = "   estimated, without indexes" if part.estimated else ""
        lines.append(f"  {part.name:<14}{part.rows:>12,}{size(part.bytes):>14}{about}")
    if found.runs[0] is not None:
        lines += ["", f"Runs from {_time(found.runs[0])} to {_time(found.runs[1])}"]
    return lines


def _time(ms: int | None) -> str:
    return "" if ms is None else moment(datetime.fromtimestamp(ms / 1000, UTC))


app.add_typer(group, name="ledger", rich_help_panel=COMMANDS["ledger"].panel)
