"""The commands of ``batcher ledger``: their options and their help.

Nothing heavy is imported here. How a command ends and where settings come from is handed in by the program,
so that these commands end and fail as all others do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from batcher.cli import options as o
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.help_style import Command, Group

if TYPE_CHECKING:
    from batcher.config.settings import Settings


class Program(NamedTuple):
    """What the program does for its commands."""

    settings: Callable[[dict[str, Any]], Settings]
    """The settings, out of the arguments a command was called with."""
    end: Callable[[Console, Callable[[], int]], None]
    """Does the work, and ends with its exit code."""
    end_async: Callable[[Console, Callable[[], Coroutine[Any, Any, int]]], None]
    """Does the work in an event loop, and ends with its exit code."""


_Function = TypeVar("_Function", bound=Callable[..., None])

HELP = """Look after a ledger that has grown long: what is in it, whether it is whole, copies, room.

Exit codes: 0; 2 usage or settings; 5 a run holds the ledger; 6 the ledger cannot be used, or is not whole.

Example:  batcher ledger info
"""


def ledger_commands(program: Program) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=_paragraphs(HELP))

    def command(function: _Function) -> _Function:
        return group.command(cls=Command, help=_paragraphs(function.__doc__ or ""))(function)

    _readers(program, command)
    _writers(program, command)
    return group


_Command = Callable[[Callable[..., None]], Callable[..., None]]


def _readers(program: Program, command: _Command) -> None:
    """Those that work while a run is going on."""

    @command
    def info(
        json: o.Json = False,
        ledger: o.Ledger = None,
        config: o.Config = None,
        verbose: o.Verbose = False,
        quiet: o.Quiet = False,
        log_format: o.LogFormat = None,
    ) -> None:
        """Say what the ledger's file is made of: schema, size and rows by table, free room.

        Works while a run is going on. Reads the whole file once.

        Exit codes: 0; 2 settings; 6 there is no ledger, or it cannot be read.

        Example:  batcher ledger info --json
        """
        given = dict(locals())
        console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

        def work() -> int:
            from batcher.cli.upkeep import say_info

            return say_info(program.settings(given), console, as_json=json)

        program.end(console, work)

    @command
    def verify(
        ledger: o.Ledger = None,
        config: o.Config = None,
        verbose: o.Verbose = False,
        quiet: o.Quiet = False,
        log_format: o.LogFormat = None,
    ) -> None:
        """Look whether the ledger is whole: the file, references, tallies, and states against attempts.

        Works while a run is going on, and changes nothing. Each finding is a line on stdout.

        Exit codes: 0 whole; 2 settings; 6 something is wrong, or there is no ledger.

        Example:  batcher ledger verify
        """
        given = dict(locals())
        console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

        def work() -> int:
            from batcher.cli.upkeep import say_verified

            return say_verified(program.settings(given), console)

        program.end(console, work)

    @command
    def backup(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to make.")],
        force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
        ledger: o.Ledger = None,
        config: o.Config = None,
        verbose: o.Verbose = False,
        quiet: o.Quiet = False,
        log_format: o.LogFormat = None,
    ) -> None:
        """Copy the ledger as it is at this moment.

        Works while a run is going on and does not hold it up. The copy is looked through before it takes its
        name, and is a ledger like any other.

        Exit codes: 0; 2 settings, or FILE cannot be made; 6 there is no ledger, or it cannot be read.

        Example:  batcher ledger backup monday.db
        """
        given = dict(locals())
        console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

        def work() -> int:
            from batcher.cli.upkeep import make_backup

            return make_backup(program.settings(given), file, console, force=force)

        program.end(console, work)


def _writers(program: Program, command: _Command) -> None:
    """Those that hold the ledger's lock."""

    @command
    def prune(
        older_than: Annotated[
            str,
            typer.Option("--older-than", metavar="DAYS", help="Attempts begun so many days ago: 90 or 90d."),
        ],
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would go; change nothing.")
        ] = False,
        wait_lock: o.WaitLock = None,
        ledger: o.Ledger = None,
        config: o.Config = None,
        verbose: o.Verbose = False,
        quiet: o.Quiet = False,
        log_format: o.LogFormat = None,
    ) -> None:
        """Let go of old attempts that nobody has to look at any more.

        What stays of each submission that has ended is what tells how it ended: the answer that counts, its
        task id, its first and its last request, the last lost answer. Exports do not change, and nothing is
        sent again for it. Loads, runs and invalid rows stay, since what is new is known by them.

        Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

        Example:  batcher ledger prune --older-than 90d --dry-run
        """
        given = dict(locals())
        console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

        async def work() -> int:
            from batcher.cli.upkeep import say_pruned

            return await say_pruned(program.settings(given), older_than, console, dry_run=dry_run)

        program.end_async(console, work)

    @command
    def vacuum(
        wait_lock: o.WaitLock = None,
        ledger: o.Ledger = None,
        config: o.Config = None,
        verbose: o.Verbose = False,
        quiet: o.Quiet = False,
        log_format: o.LogFormat = None,
    ) -> None:
        """Give the room that is free inside the file back to the disk.

        Needs twice the ledger's size on its disk for a while, and says so before it begins.

        Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used, or there is no room.

        Example:  batcher ledger vacuum
        """
        given = dict(locals())
        console = Console(verbose=verbose, quiet=quiet, log_format=log_format)

        async def work() -> int:
            from batcher.cli.upkeep import say_vacuumed

            return await say_vacuumed(program.settings(given), console)

        program.end_async(console, work)


def _paragraphs(text: str) -> str:
    """A docstring as help: wrapped to the terminal's width."""
    return "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in inspect.cleandoc(text).split("\n\n"))
