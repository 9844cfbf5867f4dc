"""What all commands share: the program they belong to, how they end, and where their settings come from.

Nothing heavy is imported here: what a command needs comes in when it runs.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import typer
import typer.main

from batcher.cli.commands import COMMANDS
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.help_style import Command, Group
from batcher.cli.terminal.logging_setup import attach, attached, say_defect, trace_of
from batcher.errors import BatcherError, Interrupted, StdoutClosed, SystemFault
from batcher.exit_codes import ExitCode

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from batcher.cli.announcer import Announcer
    from batcher.config.settings import Settings

_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENOMEM", "EMFILE", "ENFILE", "ESTALE"),
        *("ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"),
    )
)
"""Errors by which the operating system says that the machine, and not the program, is at fault."""


class CommandGroup(Group):
    """The group of all commands; a command is imported when it is called, not to be listed."""

    def __init__(self, **attrs: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(**attrs)
        self._listing = False
        for name, (panel, text) in COMMANDS.items():
            if name not in self.commands:
                self.commands[name] = _UnimportedCommand(
                    name=name, help=text, rich_help_panel=panel, rich_markup_mode="rich"
                )

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the library moves this type
        """The commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:  # noqa: ANN401 - the library moves these types
        """The command of that name, imported; while the help lists all, what it lists."""
        if not self._listing and isinstance(self.commands.get(name), _UnimportedCommand):
            import_module(f"batcher.cli.commands.{name.replace('-', '_')}")
            self.commands[name] = typer.main.get_group(app).commands[name]
        return super().get_command(ctx, name)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the library moves these types
        """Draw the help out of the summaries."""
        self._listing = True
        super().format_help(ctx, formatter)
        self._listing = False


class _UnimportedCommand(Command):
    """A command that has not been imported: its name, heading and summary."""


app = typer.Typer(
    name="batcher",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="\n\n".join(
        (
            "Asks the ZEGO cloud for thumbnails of whole archives of recordings.",
            "Reads a manifest of recordings, submits one task for each at the pace the service allows, and "
            "keeps every request and its answer in a ledger: an interrupted run goes on where it ended.",
            "Exit codes: 0 all done; 1 done, with new problems; 2 usage, settings, manifest; 3 halted: "
            "the service refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger "
            "cannot be used; 70 a defect of batcher; 130 and 143 stopped by a signal.",
            "Example, without an account:  batcher demo",
        )
    ),
)


_Function = TypeVar("_Function", bound=Callable[..., None])


def command(name: str) -> Callable[[_Function], _Function]:
    """Make a function the command of that name; its help is its docstring."""

    def register(function: _Function) -> _Function:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)
        return app.command(name, cls=Command, help=text, rich_help_panel=COMMANDS[name].panel)(function)

    return register


def end(console: Console, work: Callable[[], int], announcer: Announcer | None = None) -> None:
    """Do a command's work and end with its exit code; what is wrong is said in one message."""
    code, said = 0, ""
    attach(console)
    try:
        code = _worked(work)
    except StdoutClosed:
        pass  # the reader of stdout has what it wanted
    except KeyboardInterrupt:
        code = 130
    except Interrupted as exc:
        console.say(*(f"batcher: {line}" for line in exc.lines))
        code, said = exc.exit_code, str(exc)
    except BatcherError as exc:
        code, said = exc.exit_code, str(exc)
        say_problem(console, exc)
        if isinstance(exc, SystemFault):
            console.detail(*trace_of(exc).split("\n"))
    except Exception as exc:
        say_defect(console, exc)
        code, said = ExitCode.DEFECT, f"a defect in batcher, {type(exc).__name__}: report it"
    if announcer is not None:
        with contextlib.suppress(KeyboardInterrupt):  # whoever presses Ctrl-C now does not want to wait
            announcer.end(code, said)
    raise typer.Exit(code)


def _worked(work: Callable[[], int]) -> int:
    """Do the work, and write out what is left of stdout.

    Raises:
        SystemFault: the operating system refused something.
    """
    try:
        code = work()
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _MACHINE:
            raise
        raise SystemFault(_machine_fault(exc)) from exc
    return code


def _machine_fault(exc: OSError) -> str:
    if "temporary directory" in str(exc.strerror):
        return "no folder for temporary files can be written; set TMPDIR to one that can"
    where = os.fsdecode(exc.filename) if isinstance(exc.filename, str | bytes) else "the operating system"
    return f"{where}: {exc.strerror}; -v shows where it was needed"


def say_problem(console: Console, exc: BatcherError) -> None:
    """Say what is wrong, in the words of the exception."""
    lines = (f"batcher: {line}" for line in exc.lines)
    console.problem(*lines, error=type(exc).__name__, exit_code=exc.exit_code)


def end_async(
    console: Console,
    work: Callable[[], Coroutine[Any, Any, int]],
    loop: Callable[[], AbstractEventLoop] | None = None,
    announcer: Announcer | None = None,
) -> None:
    import asyncio

    def run() -> int:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(work())

    end(console, run, announcer)


def fast_loop() -> Callable[[], AbstractEventLoop] | None:
    """What makes the faster event loop, when it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def begin_quickly() -> None:
    """Have the collector leave imports alone; whoever sends or loads sets it up for what follows."""
    gc.set_threshold(50_000, 20, 20)


def announcer_of(command: str, given: dict[str, Any], console: Console) -> Announcer:
    """Who tells of a command; it has told already that the command begins."""
    from batcher.cli.announcer import Announcer

    announcer = Announcer(command, flags_of(given), given["config"], console)
    announcer.begin()
    return announcer


def settings_of(given: dict[str, Any]) -> Settings:
    """The settings for a command, out of the arguments it was called with."""
    from batcher.cli.protected_files import check_files
    from batcher.config.examine import examine_settings, strange_text

    examined = examine_settings(flags_of(given), given["config"])
    for variable in examined.strange:
        attached().warn("; ".join(strange_text(variable)))
    attached().configure(examined.settings)
    settings = examined.checked()
    check_files(given, settings)
    return settings


def flags_of(given: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's arguments that are settings."""
    from batcher.config.settings import Settings

    flags = {name.rstrip("_"): value for name, value in given.items()}
    return {name: flags[name] for name in flags if name in Settings.model_fields}
