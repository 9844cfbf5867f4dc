"""``batcher ledger``: the commands for the upkeep of a ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Invocation, app, command, help_text
from batcher.cli.commands import COMMANDS
from batcher.cli.terminal.help_style import Group
from batcher.cli.terminal.progress import ProgressLines
from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.exit_codes import ExitCode
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import count, moment, size

if TYPE_CHECKING:
    from batcher.api.upkeep import Verification
    from batcher.cli.terminal.console import Console

HELP = """Look after a ledger: contents, verification, copies, room.

Exit codes: 0; 2 usage or settings; 5 a run holds the ledger; 6 the ledger cannot be used, or is not whole.

Example:  batcher ledger info
"""

OLDEST_DAYS = 36_500

group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=help_text(HELP))


@command("info", group=group)
def ledger_info(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Show what the ledger's file consists of: schema, size and rows by table, free room.

    Works while a run writes the ledger. Reads the whole file once.

    Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

    Example:  batcher ledger info --json
    """
    from batcher.api.upkeep import inspect_ledger
    from batcher.cli.terminal.ledger_info import info_json, info_lines

    found = inspect_ledger(call.settings.ledger)
    if json:
        call.console.data(info_json(found))
    else:
        call.console.show(*"\n".join(info_lines(found, call.console.width)).split("\n"))
    return ExitCode.DONE


@command("verify", group=group, options=o.LOCKED)
async def ledger_verify(
    call: Invocation,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Count wrong tallies again; takes the ledger's lock."),
    ] = False,
) -> int:
    """Check whether the ledger is whole: the file, references, tallies, and states against attempts.

    Works while a run writes the ledger, and changes nothing. Each finding is a line on stdout. With
    --repair, wrong tallies are counted again, and nothing else is changed; findings are what is left.

    Exit codes: 0 whole; 2 settings; 5 a run holds the ledger (--repair); 6 something is wrong, or there
    is no ledger.

    Example:  batcher ledger verify
    """
    from batcher.api.upkeep import repair_tallies, verify_ledger
    from batcher.cli.ledger_lock import lock_for

    settings, console = call.settings, call.console
    path = ledger_named(settings.ledger)
    if repair:
        before = await repair_tallies(path, lock=await lock_for(call), on_progress=_still_checking(console))
        if before.is_damaged:
            console.say(f"{path}: not repaired: the file itself is damaged")
        elif before.wrong_tallies:
            console.say(f"{path}: tallies counted again, {len(before.wrong_tallies):,} were wrong")
    done = verify_ledger(path, on_progress=_still_checking(console), on_finding=console.show)
    _say_verdict(done, ledger_option(settings.ledger), console)
    return done.exit_code


@command("backup", group=group)
def ledger_backup(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to make.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> int:
    """Copy the ledger as it is at this moment.

    Works while a run writes the ledger and does not delay it. The copy is verified before it takes its
    name, and is a ledger like any other.

    Exit codes: 0; 2 settings, or FILE cannot be made; 6 there is no ledger, or it cannot be read.

    Example:  batcher ledger backup monday.db
    """
    from batcher.api.upkeep import back_up_ledger

    lines = ProgressLines(call.console)
    copied = back_up_ledger(
        call.settings.ledger,
        file,
        replace=force,
        on_progress=lambda done, pages: lines.show(lambda: f"{done * 100 // max(pages, 1)} % copied"),
    )
    call.console.say(f"{file}: {size(copied)}, verified and whole; a ledger like any other: -l {file}")
    return ExitCode.DONE


# -- commands that hold the ledger's lock ----------------------------------------------------------------


@command("restore", group=group, options=o.LOCKED)
async def ledger_restore(
    call: Invocation,
    backup: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to put in its place.")],
) -> int:
    """Replace the ledger by a backup.

    FILE is copied and verified first, and stays as it is. The ledger that was there is kept, with its log,
    under a name with the time. Do not copy a backup over a ledger by hand: the old log next to it would be
    applied to the new file and damage it.

    Exit codes: 0; 2 settings, or FILE is the ledger itself; 5 a run, track or fetch holds the ledger;
    6 FILE is missing, not whole or from a newer version, or the ledger's folder cannot be written.

    Example:  batcher ledger restore monday.db
    """
    from contextlib import ExitStack

    from batcher.api.upkeep import restore_ledger
    from batcher.cli.ledger_lock import lock_for
    from batcher.ledger.holding import OF_FILES

    settings, console = call.settings, call.console
    path, source = ledger_named(settings.ledger), ledger_named(str(backup))
    lines, locks = ProgressLines(console), {}
    with ExitStack() as held:
        for purpose in OF_FILES:
            locks[purpose] = held.enter_context(await lock_for(call, purpose, may_be_missing=True))
        done = await restore_ledger(
            path, source, locks=locks, on_progress=lambda text: lines.show(lambda: text)
        )
    console.say(f"{path}: restored from {source}, {size(done.bytes)}, verified and whole")
    if done.kept:
        console.warn(
            f"requests sent after that backup was made are on record only in {done.kept}; a run sends them "
            "again"
        )
    else:
        console.note(f"new ledger {path}")
    return ExitCode.DONE


@command("copy", group=group, options={"wait_lock": o.LOCKED["wait_lock"], **o.WITHOUT_LEDGER})
async def ledger_copy(
    call: Invocation,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The ledger: a path or URL.")],
    place: Annotated[
        str, typer.Argument(metavar="TARGET", help="The copy to make: a path or URL without a ledger.")
    ],
) -> int:
    """Copy a ledger to another place: from a file to PostgreSQL, back, or between two of a kind.

    All rows keep their ids. The copy is compared with the source row by row and verified before it appears:
    it is whole, or there is none. Nothing may write the source meanwhile. Afterwards use one of the two:
    a run on each would send everything twice.

    Exit codes: 0; 2 settings, or TARGET has a ledger; 5 a run, load, track or fetch works on SOURCE;
    6 SOURCE is missing or not whole, or TARGET cannot be made.

    Example:  batcher ledger copy batcher.db postgresql://batcher@db/batcher
    """
    from batcher.api.upkeep import copy_ledger
    from batcher.cli.signals import Signals

    settings, console = call.settings, call.console
    read, written = call.ledger(source), call.ledger(place)
    lines = ProgressLines(console)
    with Signals() as signals, signals.interrupting(f"{written}: the copy was stopped, and is not there"):
        done = await copy_ledger(
            read,
            written,
            sender="batcher ledger copy",
            wait_s=settings.wait_lock,
            on_event=console.on_event,
            on_progress=lambda text: lines.show(lambda: text),
        )
    console.say(f"{written}: copied from {read}, {count(done.total, 'row')}, compared and whole")
    console.note("from now on use one of the two: a run on each would send what is open twice")
    return ExitCode.DONE


@command("prune", group=group, options=o.LOCKED)
async def ledger_prune(
    call: Invocation,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="DAYS", help="Attempts begun this many days ago: 90 or 90d."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted; change nothing.")
    ] = False,
) -> int:
    """Delete old attempts that no result needs.

    Each submission that has ended keeps the attempts that show how it ended: the answer that counts, its
    task id, its first and its last request, the last lost answer. Exports do not change, and nothing is
    sent again for it. Loads, runs and invalid rows stay, since later loads are compared with them.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher ledger prune --older-than 90d --dry-run
    """
    from batcher.api.upkeep import count_prunable, prune_attempts
    from batcher.cli.ledger_lock import lock_for

    before, settings, console = days_ago(older_than), call.settings, call.console
    path = ledger_named(settings.ledger)
    if dry_run:
        found = await count_prunable(path, before)
    else:
        found = await prune_attempts(path, before, lock=await lock_for(call))
    attempts = f"{count(found.attempts, 'attempt')} of {count(found.submissions, 'submission')}"
    text = f"{path}: {'would delete' if dry_run else 'deleted'} {attempts}, begun before {moment(before)}"
    if found.attempts and not dry_run and isinstance(path, Path):
        text += f"; to give the room back to the disk: batcher ledger vacuum{ledger_option(settings.ledger)}"
    console.say(text)
    return ExitCode.DONE


@command("vacuum", group=group, options=o.LOCKED)
async def ledger_vacuum(
    call: Invocation,
) -> int:
    """Give the room that is free inside the file back to the disk.

    Needs twice the ledger's size on its disk for a while, and checks that before it begins.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used, or there is no room.

    Example:  batcher ledger vacuum
    """
    from batcher.api.upkeep import file_to_vacuum, vacuum_ledger
    from batcher.cli.ledger_lock import lock_for

    path = file_to_vacuum(call.settings.ledger)
    lock = await lock_for(call)
    call.console.say(f"{path}: writing the file again; track, listen and fetch wait meanwhile")
    done = await vacuum_ledger(path, lock=lock)
    call.console.say(f"{path}: {size(done.before_bytes)} before, {size(done.after_bytes)} now")
    return ExitCode.DONE


def days_ago(text: str) -> datetime:
    """Return the time that many days ago.

    Raises:
        SettingsError: the text is not a number of days.
    """
    number = text.strip().lower().removesuffix("d")
    if not number.isdecimal() or not 0 < int(number) <= OLDEST_DAYS:
        raise SettingsError(f"--older-than {text}: give days, from 1 to {OLDEST_DAYS:,}, such as 90d")
    return datetime.now(UTC) - timedelta(days=int(number))


def _still_checking(console: Console) -> Callable[[str], None]:
    lines = ProgressLines(console)
    return lambda part: lines.show(lambda: f"still checking {part}")


def _say_verdict(done: Verification, option: str, console: Console) -> None:
    path = done.ledger
    found = f"batcher: {path}: {count(len(done.findings), 'finding')}"
    if not done.findings:
        console.say(f"{path}: whole; tallies, states and attempts agree")
    elif done.only_tallies:
        console.problem(
            f"{found}, of tallies alone. Keep the last backup, and count them again: "
            f"batcher ledger verify --repair{option}"
        )
    else:
        console.problem(
            f"{found}. Stop runs on this ledger and return to the last backup: "
            f"batcher ledger restore{option} FILE, which keeps this one; "
            "`batcher export` still exports what is readable"
        )


app.add_typer(group, name="ledger", rich_help_panel=COMMANDS["ledger"].panel)
