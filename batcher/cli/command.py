"""The frame of all commands: the program they belong to, their settings, and how they end.

Called by the files of the commands. No heavy module is imported here: a command imports what it needs when it
runs, since imports are most of the time of a short command.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import typer
import typer.main

from batcher.cli import options as o
from batcher.cli.commands import COMMANDS
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.help_style import Command, Group
from batcher.cli.terminal.logging_setup import attach, say_defect, trace_of
from batcher.errors import BatcherError, Interrupted, SettingsError, StdoutClosed, SystemFault
from batcher.exit_codes import ExitCode
from batcher.model.ledger_name import LedgerName, PostgresName

if TYPE_CHECKING:
    from batcher.cli.announcer import Announcer
    from batcher.config.examine import Examined
    from batcher.config.settings import Settings
    from batcher.model.account import Account

_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENOMEM", "EMFILE", "ENFILE", "ESTALE"),
        *("ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"),
    )
)
"""Errors by which the operating system says that the machine, and not the program, is at fault."""


class CommandGroup(Group):
    """The group of all commands. A command is imported when it is called, not when the help lists it."""

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
        """Return the command of a name, imported; while the help lists all commands, its summary only."""
        if not self._listing and isinstance(self.commands.get(name), _UnimportedCommand):
            import_module(f"batcher.cli.commands.{name.replace('-', '_')}")
            self.commands[name] = typer.main.get_group(app).commands[name]
        return super().get_command(ctx, name)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the library moves these types
        """Draw the help from the summaries of the commands."""
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
            "Request thumbnails of whole archives of recordings from the ZEGO cloud.",
            "Reads a manifest of recordings, submits one task for each at the pace the service allows, and "
            "keeps every request and its answer in a ledger: an interrupted run can be resumed at any time.",
            "Exit codes: 0 all done; 1 done, with new problems; 2 usage, settings, manifest; 3 halted: "
            "the service refuses us; 4 stopped with work left; 5 another run holds the ledger; 6 the ledger "
            "cannot be used; 70 a defect of batcher; 130 and 143 stopped by a signal.",
            "First steps:  batcher demo (no account), batcher check, batcher load MANIFEST, batcher run",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a command that ran: the reason and its figures."""

    reason: str
    figures: str = ""
    blocked_by_outage: bool = False
    """Work is left because of an outage."""
    on_purpose: bool = False
    """The work left is not a failure even without a limit: only tasks of the service are still running."""


class Invocation:
    """One call of a command: what it was given, where it writes, and its settings.

    Args:
        name: the command.
        given: its arguments by parameter name, the common options among them.
        console: stderr and stdout.
        settings: the settings; None to read them from the arguments and the environment.
    """

    def __init__(
        self, name: str, given: Mapping[str, Any], console: Console, settings: Settings | None = None
    ) -> None:
        if settings is not None:
            self.settings = settings
        self.name = name
        self.given = given
        self.console = console
        self.announcer: Announcer | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings, from flags, environment and configuration.

        Raises:
            SettingsError: they cannot be used, or an output would overwrite an input.
        """
        from batcher.cli.descriptors import within_descriptors
        from batcher.cli.protected_files import check_files, reads_stdin
        from batcher.config.examine import strange_text

        for warning in (*self.examined.warnings, *map(strange_text, self.examined.strange)):
            self.console.warn("; ".join(warning))
        self.console.configure(self.examined.settings)
        settings = self.examined.checked()
        self.ledger(settings.ledger)
        check_files(self.given, settings)
        settings, too_few = within_descriptors(self.name, settings, self.given)
        if too_few is not None:
            self.console.warn(too_few)
        if reads_stdin(self.given) and sys.stdin is not None and sys.stdin.isatty():
            self.console.note("Reading the manifest from this terminal, line by line. End it with Ctrl-D")
        return settings

    def ledger(self, text: str) -> LedgerName:
        """Return the ledger that a text names; its password is kept out of everything that is written.

        Raises:
            SettingsError: it names none.
        """
        from batcher.config.ledger_names import ledger_named

        name = ledger_named(text)
        if isinstance(name, PostgresName):
            password = name.parameters.get("password") or os.environ.get("PGPASSWORD", "")
            self.console.redaction.learn(str(password))
        return name

    @cached_property
    def account(self) -> Account:
        """The account; its secret is kept out of everything that is written.

        Raises:
            SettingsError: AppId or ServerSecret is missing.
        """
        from batcher.config.account import account_of
        from batcher.model.account import Account

        app_id, secret = account_of(self.settings)
        self.console.redaction.learn(secret)
        return Account(app_id, secret, self.settings.is_test)

    def account_for(self, manifests: Sequence[str]) -> Account:
        """Return the account of a command that reads manifests.

        Raises:
            SettingsError: AppId or ServerSecret is missing; the message names missing manifests, too.
        """
        try:
            return self.account
        except SettingsError as exc:
            from batcher.api.manifests import unreadable

            raise SettingsError(*unreadable(manifests), *exc.lines) from exc

    @cached_property
    def examined(self) -> Examined:
        """The settings with their sources and problems; read once for a command."""
        from batcher.config.examine import examine_settings

        return examine_settings(self.flags, self.given["config"])

    @cached_property
    def flags(self) -> dict[str, Any]:
        """The arguments that are settings."""
        from batcher.config.settings import Settings

        flags = {name.rstrip("_"): value for name, value in self.given.items()}
        return {name: flags[name] for name in flags if name in Settings.model_fields}

    def announce(self) -> None:
        """Ping the start; :func:`end` reports the end.

        Call it before ``settings``, so that settings that are refused are reported, too.
        """
        from batcher.cli.announcer import Announcer

        self.announcer = Announcer(self.name, self.examined.settings, self.console)
        self.announcer.begin()

    def closed(self, closing: Closing) -> None:
        """Keep the command's own words about its end, for the notification."""
        if self.announcer is not None:
            self.announcer.record(closing)


HANDOVER_S = 0.0002
"""The time slice of a thread while threads hand work to each other."""

_Work = Callable[[], int | Coroutine[Any, Any, int]]
_Carry = TypeVar("_Carry", bound=Callable[..., int | Coroutine[Any, Any, int]])


def command(
    name: str,
    *,
    group: typer.Typer | None = None,
    options: Mapping[str, Any] = o.COMMON,
    throughput: bool = False,
) -> Callable[[_Carry], _Carry]:
    """Make a function a command: its docstring is the help, its result the exit code.

    The function takes an :class:`Invocation` and the arguments that are not settings; it may be a coroutine.
    An error ends the process with the exit code of its class.

    Args:
        name: the name of the command.
        group: the group that it belongs to; the program itself when not given.
        options: the settings that it takes as options: the type of each by parameter name.
        throughput: collect garbage rarely.
    """

    def register(carry_out: _Carry) -> _Carry:
        own = list(inspect.signature(carry_out, eval_str=True).parameters.values())[1:]
        given_as = inspect.Parameter.KEYWORD_ONLY
        taken = [
            inspect.Parameter(option, given_as, default=None, annotation=kind)
            for option, kind in options.items()
        ]

        def called(**given: Any) -> None:  # noqa: ANN401 - the options of any command
            if throughput:
                gc.set_threshold(50_000, 20, 20)  # leaves imports alone; tune_process follows
            look = {option: given[option] for option in ("verbose", "quiet", "log_format") if option in given}
            call = Invocation(name, given, Console(**look))
            own_options = {parameter.name: given[parameter.name] for parameter in own}
            end(call, lambda: carry_out(call, **own_options))

        parameters = [parameter.replace(kind=given_as) for parameter in own] + taken
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by the library
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        text = help_text(carry_out.__doc__ or "")
        panel = COMMANDS[name].panel if group is None else None
        (group or app).command(name, cls=Command, help=text, rich_help_panel=panel)(called)
        return carry_out

    return register


def help_text(docstring: str) -> str:
    """Return a docstring as help: one line for each paragraph, which the terminal wraps."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)


def end(call: Invocation, work: _Work) -> None:
    """Carry out a command and end the process with its exit code; report a fault in one message."""
    console, code, said = call.console, 0, ""
    attach(console)
    try:
        code = _worked(work)
    except StdoutClosed:
        pass  # the reader of stdout has closed it: not an error
    except KeyboardInterrupt:
        code = ExitCode.SIGINT
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
    if call.announcer is not None:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C now: do not wait
            call.announcer.end(code, said)
    raise typer.Exit(code)


def _worked(work: _Work) -> int:
    """Do the work, in an event loop if it is a coroutine, and flush stdout.

    Raises:
        SystemFault: the operating system refused something.
    """
    try:
        code = work()
        if not isinstance(code, int):
            import asyncio

            code = asyncio.run(code)
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _MACHINE:
            raise
        raise SystemFault(_machine_fault(exc)) from exc
    return code


def _machine_fault(exc: OSError) -> str:
    from batcher.files import absolute, is_no_temporary, reason_of

    if is_no_temporary(exc):
        return reason_of(exc)
    named = isinstance(exc.filename, str | bytes)
    where = absolute(os.fsdecode(exc.filename)) if named else "the operating system"
    return f"{where}: {reason_of(exc)}; -v shows where it was needed"


def say_problem(console: Console, exc: BatcherError) -> None:
    """Report a problem in the words of the exception."""
    lines = (f"batcher: {line}" for line in exc.lines)
    console.problem(*lines, error=type(exc).__name__, exit_code=exc.exit_code)


LARGE_BLOCK_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
"""The number of the setting in ``malloc.h``."""


def tune_process(*, handing_over: bool = False) -> None:
    """Set up the interpreter for a process that only sends or loads.

    The garbage collector skips objects that live as long as the process, and runs less often: at thousands of
    requests a second it took a sixth of all processor time to search modules.

    Args:
        handing_over: threads switch sooner than after 5 ms: while a manifest is only loaded, the ledger's
            writer waits for its turn between any two statements.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    _free_large_blocks()
    if handing_over:
        sys.setswitchinterval(HANDOVER_S)


def _free_large_blocks() -> None:
    """Have the C library give large blocks back to the system when they are freed.

    By default it raises the size from which it does so to 32 MB, and pages of Parquet stay in memory.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # not the GNU library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
