"""The console: stderr for people or programs, stdout for data.

Used by every command. All text for people passes here or through
:mod:`batcher.cli.terminal.logging_setup`; both remove secrets and control characters. Data is written as it
is. A stream whose reader is gone does not stop the command.

Each argument of the methods is one line. A line end within it comes from outside (an answer, a file name)
and is escaped, so that no text can forge a line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from batcher.cli.terminal.logging_setup import record_event
from batcher.cli.terminal.stderr_writer import of_stderr, write_line
from batcher.cli.terminal.text import MAX_WIDTH, LogFormat, Volume, fitted, legible
from batcher.config.secrets import may_be_secret
from batcher.errors import StdoutClosed
from batcher.model.events import (
    DefectMet,
    Event,
    FetchProgress,
    Halted,
    Message,
    NotSubmitted,
    OutageBegan,
    PictureNotFetched,
    Progress,
    Rejected,
    RunStarted,
    SendingPaused,
    Severity,
    Submitted,
    TrackingProgress,
)
from batcher.model.redaction import Redaction
from batcher.report.formatting import one_line

if TYPE_CHECKING:
    from batcher.config.settings import Settings

TURN_S = 1.0
"""The longest time that data for stdout waits for earlier text on stderr."""


class Console:
    """The output of one command.

    Args:
        verbose: write details, too.
        quiet: write problems only.
        log_format: ``text`` or ``json``; by default the value of ``BATCHER_LOG_FORMAT``, until
            :meth:`configure` is called.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False, log_format: str | None = None) -> None:
        self.volume = Volume.QUIET if quiet else Volume.VERBOSE if verbose else Volume.NORMAL
        self.redaction = Redaction(_possible_secrets())
        wanted = log_format or os.environ.get("BATCHER_LOG_FORMAT", "")
        self.log_format = LogFormat.JSON if wanted.strip().lower() == LogFormat.JSON else LogFormat.TEXT

    def configure(self, settings: Settings) -> None:
        """Apply the settings: the log format, and the secrets that must never be written."""
        self.log_format = LogFormat(settings.log_format)
        for name in type(settings).model_fields:
            if hasattr(secret := getattr(settings, name), "get_secret_value"):
                self.redaction.learn(secret.get_secret_value())

    def problem(self, *lines: str, **known: object) -> None:
        """Report a problem, at every volume. ``known`` is added for programs."""
        if self.for_programs:
            text = "\n".join(line.removeprefix("batcher: ") for line in lines)
            record_event(self, logging.ERROR, "message", {"text": text, **known})
        else:
            self.write(_joined(lines))

    def warn(self, *lines: str) -> None:
        """Report a warning, at every volume."""
        if self.for_programs:
            record_event(self, logging.WARNING, "message", {"text": "\n".join(lines)})
        else:
            self.write(f"batcher: warning: {_joined(lines)}")

    def note(self, *lines: str) -> None:
        """Report a fact that matters also when only problems are wanted."""
        self._words(logging.INFO, lines)

    def say(self, *lines: str) -> None:
        """Report what was done, unless only problems are wanted."""
        if self.volume > Volume.QUIET:
            self._words(logging.INFO, lines)

    def detail(self, *lines: str) -> None:
        """Report a detail; written with ``--verbose`` only."""
        if self.volume is Volume.VERBOSE:
            self._words(logging.DEBUG, lines)

    def on_event(self, event: Event) -> None:
        """Report an event of a flow.

        Single attempts are written with ``--verbose`` only. Progress is left to the progress display.
        """
        match event:
            case Progress() | TrackingProgress() | FetchProgress() | Submitted():
                return
            case PictureNotFetched():
                self.detail(event.words)
                return
            case Message():
                self._message(event)
                return
        if not self.for_programs:
            if isinstance(event, DefectMet):
                self.detail(*event.exception.rstrip().split("\n"))
            elif not isinstance(event, NotSubmitted):
                self.say(*(event.words.split("\n") if isinstance(event, RunStarted) else [event.words]))
            elif self.volume is Volume.VERBOSE:
                self.write(one_line(event.words), needed=False)
        elif self._is_wanted(event):
            known = {field.name: getattr(event, field.name) for field in fields(event)}
            if self.volume is not Volume.VERBOSE:
                known.pop("exception", None)
            record_event(self, _level(event), event.event, known)

    def _message(self, message: Message) -> None:
        match message.severity:
            case Severity.INFO:
                self.say(message.words)
            case Severity.NOTICE:
                self.note(message.words)
            case Severity.WARNING:
                self.warn(message.words)
            case Severity.PROBLEM:
                self.problem(message.words)

    def progress(self, text: str, figures: Mapping[str, object]) -> None:
        """Report the progress of a flow."""
        if self.volume is Volume.QUIET:
            return
        if self.for_programs:
            record_event(self, logging.INFO, "progress", figures)
        else:
            self.write(text, needed=False)

    def finished(self, text: str, figures: Mapping[str, object], exit_code: int) -> None:
        """Report the end of a flow: the summary for people, or its figures for programs.

        An empty text writes neither.
        """
        if (outlet := of_stderr()) and outlet.left_out:
            self.warn(
                f"{outlet.left_out:,} lines were left out here: they were not read. The ledger has everything"
            )
        if not self.for_programs:
            self.write(text, fitting=True)
        elif text:
            level = (
                logging.INFO if exit_code == 0 else logging.WARNING if exit_code in (1, 4) else logging.ERROR
            )
            record_event(self, level, "run_finished", figures)

    def data(self, value: object) -> None:
        """Write a value to stdout as a line of JSON in UTF-8; a closed pipe is ignored.

        A lone surrogate, which file names can hold, is written as JSON would escape it.

        Raises:
            StdoutError: stdout cannot be written.
        """
        text = json.dumps(value, ensure_ascii=False)
        self._wait_for_stderr()
        with contextlib.suppress(StdoutClosed):
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
            sys.stdout.buffer.flush()

    def show(self, *lines: str) -> None:
        """Write lines for people to stdout; a closed pipe is ignored.

        Raises:
            StdoutError: stdout cannot be written.
        """
        self._wait_for_stderr()
        with contextlib.suppress(StdoutClosed):
            print(_joined(lines), flush=True)  # noqa: T201 - for people, on stdout

    def _wait_for_stderr(self) -> None:
        """Wait until earlier text on stderr is written, so that the order is kept."""
        if outlet := of_stderr():
            outlet.settle(TURN_S)

    def write(self, text: str, *, needed: bool = True, fitting: bool = False) -> None:
        """Write lines for people to stderr, without secrets and control characters.

        Args:
            text: one line or more; line ends that come from outside have been escaped.
            needed: keep the text when a stalled terminal makes others drop.
            fitting: the lines fit the width already; commands in them must not be wrapped.
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
        """Whether stderr is a terminal that a display can draw on."""
        return self._is_read_on_terminal and os.environ.get("TERM") != "dumb"

    @property
    def _is_read_on_terminal(self) -> bool:
        if self.for_programs:
            return False
        try:
            return sys.stderr is not None and sys.stderr.isatty()
        except ValueError:
            return False

    def _words(self, level: int, lines: Sequence[str]) -> None:
        if not self.for_programs:
            self.write(_joined(lines))
        elif text := "\n".join(lines).strip("\n"):
            record_event(self, level, "message", {"text": text})

    def _is_wanted(self, notice: Event) -> bool:
        """Whether a program gets the event; with ``--quiet`` only those that end a run."""
        if self.volume is Volume.QUIET:
            return isinstance(notice, Halted | DefectMet)
        return self.volume is Volume.VERBOSE or type(notice) is not NotSubmitted


def _possible_secrets() -> list[str]:
    """Values of ``BATCHER_`` variables that are secrets, or may be one in the wrong variable."""
    ours = [
        (name.upper(), value.strip()) for name, value in os.environ.items() if name[:8].upper() == "BATCHER_"
    ]
    values = [value for name, value in ours if name.endswith("_SECRET") or may_be_secret(value)]
    return [value.strip("\"'`") for value in values if "://" not in value and "/" not in value]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(map(one_line, lines))


def _level(notice: Event) -> int:
    match notice:
        case Halted() | DefectMet():
            return logging.ERROR
        case OutageBegan() | SendingPaused() | Rejected():
            return logging.WARNING
        case NotSubmitted():
            return logging.DEBUG
        case _:
            return logging.INFO
