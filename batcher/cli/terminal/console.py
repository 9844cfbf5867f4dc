"""stderr, for people or programs, and stdout, for data: what is said survives a reader that has gone away.

Between the commands and the two streams. Whatever goes to people passes here, or
:mod:`batcher.cli.terminal.logging_setup`, without secrets and without characters that a terminal would
obey; what is data goes out as it is.

Each argument of the methods below is one line. An end of a line within it was written by somebody else (the
service, a file's name), and is escaped, so that nobody forges lines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from batcher.cli.terminal.stderr_writer import of_stderr, write_line
from batcher.cli.terminal.text import MAX_WIDTH, Level, LogFormat, Volume, fitted, legible
from batcher.config.secrets import may_be_secret
from batcher.errors import StdoutClosed
from batcher.model.events import (
    DefectMet,
    Event,
    Halted,
    LedgerCreated,
    NotSubmitted,
    OutageBegan,
    Rejected,
    RunStarted,
    SendingPaused,
    WarningRaised,
)
from batcher.report.formatting import one_line
from batcher.telemetry.redaction import Redaction

if TYPE_CHECKING:
    from batcher.config.settings import Settings

TURN_S = 1.0
"""How long data for stdout lets what was said before on stderr come first."""


class Console:
    """What a command says.

    Args:
        verbose: say more.
        quiet: say problems only.
        log_format: how; when not given, as ``BATCHER_LOG_FORMAT`` says. The settings may say better later.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False, log_format: str | None = None) -> None:
        self.volume = Volume.QUIET if quiet else Volume.VERBOSE if verbose else Volume.NORMAL
        self.redaction = Redaction(_possible_secrets())
        wanted = log_format or os.environ.get("BATCHER_LOG_FORMAT", "")
        self.log_format = LogFormat.JSON if wanted.strip().lower() == LogFormat.JSON else LogFormat.TEXT

    def configure(self, settings: Settings) -> None:
        """Go by the settings, now that they are read: how to write, and what must never be written."""
        self.log_format = LogFormat(settings.log_format)
        for name in type(settings).model_fields:
            if hasattr(secret := getattr(settings, name), "get_secret_value"):
                self.redaction.learn(secret.get_secret_value())

    def problem(self, *lines: str, **known: object) -> None:
        """Say what is wrong; always said. ``known`` is for programs."""
        if self.for_programs:
            text = "\n".join(line.removeprefix("batcher: ") for line in lines)
            self._event(Level.ERROR, "message", {"text": text, **known})
        else:
            self.write(_joined(lines))

    def warn(self, *lines: str) -> None:
        """Say what may be wrong; always said."""
        if self.for_programs:
            self._event(Level.WARNING, "message", {"text": "\n".join(lines)})
        else:
            self.write(f"batcher: warning: {_joined(lines)}")

    def note(self, *lines: str) -> None:
        """Say what must be known even when only problems are wanted."""
        self._words(Level.INFO, lines)

    def say(self, *lines: str) -> None:
        """Say what was done, unless only problems are wanted."""
        if self.volume > Volume.QUIET:
            self._words(Level.INFO, lines)

    def detail(self, *lines: str) -> None:
        """Say what only a curious person wants to know."""
        if self.volume is Volume.VERBOSE:
            self._words(Level.DEBUG, lines)

    def on_event(self, notice: Event) -> None:
        """Say what a run tells; of single attempts only a curious person wants to know."""
        if isinstance(notice, WarningRaised):
            self.warn(notice.words)
        elif isinstance(notice, LedgerCreated):
            self.note(notice.words)
        elif not self.for_programs:
            if isinstance(notice, DefectMet):
                self.detail(*notice.exception.rstrip().split("\n"))
            elif not isinstance(notice, NotSubmitted):
                self.say(*(notice.words.split("\n") if isinstance(notice, RunStarted) else [notice.words]))
            elif self.volume is Volume.VERBOSE:
                self.write(one_line(notice.words), needed=False)
        elif self._is_wanted(notice):
            known = {field.name: getattr(notice, field.name) for field in fields(notice)}
            if self.volume is not Volume.VERBOSE:
                known.pop("exception", None)
            self._event(_level(notice), notice.event, known)

    def progress(self, text: str, figures: Mapping[str, object]) -> None:
        """Say how far a run is."""
        if self.volume is Volume.QUIET:
            return
        if self.for_programs:
            self._event(Level.INFO, "progress", figures)
        else:
            self.write(text, needed=False)

    def finished(self, text: str, figures: Mapping[str, object], exit_code: int) -> None:
        """Close a run: the summary's words, or all its figures; neither when there are no words."""
        if (outlet := of_stderr()) and outlet.left_out:
            self.warn(f"{outlet.left_out:,} lines were left out here: nobody read them. The ledger has all")
        if not self.for_programs:
            self.write(text, fitting=True)
        elif text:
            level = Level.INFO if exit_code == 0 else Level.WARNING if exit_code in (1, 4) else Level.ERROR
            self._event(level, "run_finished", figures)

    def data(self, text: str) -> None:
        """Write a line of data to stdout, as it is and in UTF-8; its reader may have gone away.

        Half a character, which names of files can hold, is written as JSON would escape it.

        Raises:
            StdoutError: stdout cannot be written.
        """
        self._wait_for_stderr()
        with contextlib.suppress(StdoutClosed):
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
            sys.stdout.buffer.flush()

    def show(self, *lines: str) -> None:
        """Write lines for people to stdout, whose reader may have gone away.

        Raises:
            StdoutError: stdout cannot be written.
        """
        self._wait_for_stderr()
        with contextlib.suppress(StdoutClosed):
            print(_joined(lines), flush=True)  # noqa: T201 - for people, on stdout

    def _wait_for_stderr(self) -> None:
        """Let what was said before come first."""
        if outlet := of_stderr():
            outlet.settle(TURN_S)

    def write(self, text: str, *, needed: bool = True, fitting: bool = False) -> None:
        """Write lines for people to stderr, without secrets and without what a terminal obeys.

        Args:
            text: one line or more; what others wrote in it has been made one line.
            needed: it may not be left out when nobody reads those before it.
            fitting: its lines have been made for the width; commands in it must stay as they are.
        """
        shown = legible(self.redaction(text))
        if self._is_read_on_terminal and not fitting:
            shown = fitted(shown, self.width)
        write_line(shown, needed=needed)

    @property
    def for_programs(self) -> bool:
        """Whether each line on stderr is a JSON object."""
        return self.log_format is LogFormat.JSON

    @property
    def width(self) -> int:
        """Columns to wrap text at."""
        return min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be watching stderr, on something that can be drawn on."""
        return self._is_read_on_terminal and os.environ.get("TERM") != "dumb"

    @property
    def _is_read_on_terminal(self) -> bool:
        if self.for_programs:
            return False
        try:
            return sys.stderr is not None and sys.stderr.isatty()
        except ValueError:
            return False

    def _words(self, level: Level, lines: Sequence[str]) -> None:
        if not self.for_programs:
            self.write(_joined(lines))
        elif text := "\n".join(lines).strip("\n"):
            self._event(level, "message", {"text": text})

    def _event(self, level: Level, event: str, known: Mapping[str, object]) -> None:
        from batcher.cli.terminal.logging_setup import (
            record_event,  # what writes JSON comes in when something is written
        )

        record_event(self, level, event, known)

    def _is_wanted(self, notice: Event) -> bool:
        """Whether a program is told; when only problems are wanted, of what ends a run."""
        if self.volume is Volume.QUIET:
            return isinstance(notice, Halted | DefectMet)
        return self.volume is Volume.VERBOSE or type(notice) is not NotSubmitted


def _possible_secrets() -> list[str]:
    """Values of our variables that are secrets, or may be one in the wrong place."""
    ours = [
        (name.upper(), value.strip()) for name, value in os.environ.items() if name[:8].upper() == "BATCHER_"
    ]
    values = [value for name, value in ours if name.endswith("_SECRET") or may_be_secret(value)]
    return [value.strip("\"'`") for value in values if "://" not in value and "/" not in value]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(map(one_line, lines))


def _level(notice: Event) -> Level:
    match notice:
        case Halted() | DefectMet():
            return Level.ERROR
        case OutageBegan() | SendingPaused() | Rejected():
            return Level.WARNING
        case NotSubmitted():
            return Level.DEBUG
        case _:
            return Level.INFO
