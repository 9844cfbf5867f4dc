"""Log records on their way to stderr: the libraries' own, and the events that a program is given of a run.

One handler of the root logger writes all of them, so that nothing gets out unredacted: aiohttp, SQLAlchemy,
asyncio, Python's warnings and uncaught exceptions take the same way as our own events. It never raises.
Attached by the command line at the start of a command, and used by the console for ``--log-format json``.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from batcher.cli.terminal.stderr_writer import write_line
from batcher.cli.terminal.text import Level, Volume, legible
from batcher.model.events import Rejected

if TYPE_CHECKING:
    from batcher.config.settings import Settings
    from batcher.model.redaction import Redaction

_OURS = "batcher"
_NUMBERS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}


class Speaker(Protocol):
    """The console, as far as log records need it."""

    volume: Volume
    redaction: Redaction

    @property
    def for_programs(self) -> bool:
        """True when stderr holds one JSON object a line."""

    def configure(self, settings: Settings) -> None:
        """Apply the settings."""

    def write(self, text: str) -> None:
        """Write lines for people."""

    def say(self, text: str) -> None:
        """Report what was done."""

    def warn(self, text: str) -> None:
        """Report what may be wrong."""


class _ToStderr(logging.Handler):
    """Writes each record as the console of the moment has it: lines for people, or a JSON object."""

    def __init__(self) -> None:
        super().__init__()
        self._console: Speaker | None = None

    @property
    def console(self) -> Speaker:
        """The console that was attached last.

        Raises:
            RuntimeError: none was attached.
        """
        if self._console is None:
            raise RuntimeError("attach a console before anything is logged")
        return self._console

    @console.setter
    def console(self, console: Speaker) -> None:
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is named, not raised."""
        try:
            text = self._line(_event_of(record, with_trace=self.console.volume is Volume.VERBOSE))
        except Exception as exc:  # a record of a library may hold anything; logging it must not end a run
            words = f"what {record.name} logs cannot be written, {type(exc).__name__}"
            text = self._line(_beginning(record, "log") | {"text": words})
        write_line(text, needed=_is_needed(record))

    def _line(self, event: Mapping[str, object]) -> str:
        """An event as it is written. The one place where everything that is logged is redacted."""
        event = {name: self.console.redaction.under(name, value) for name, value in event.items()}
        if self.console.for_programs:
            return json.dumps(event)  # escaped: nothing in it ends the line or steers a terminal
        words = " ".join(str(event.get("text", event["event"])).split())
        error = f" ({event['error']}; -v shows where)" if event.get("error") else ""
        trace = f"\n{event['exception']}" if "exception" in event else ""
        source = f"{event['logger']}: " if "logger" in event else ""
        return legible(f"batcher: {event['level']}: {source}{words}{trace or error}")


def _beginning(record: logging.LogRecord, event: str) -> dict[str, Any]:
    """What every event begins with."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
    return {"timestamp": at, "level": record.levelname.lower(), "event": event}


def _event_of(record: logging.LogRecord, *, with_trace: bool) -> dict[str, Any]:
    """A record as an event: one of ours, or the text of a library."""
    known: Mapping[str, Any] | None = getattr(record, "known", None)
    if known is not None:
        return {**_beginning(record, record.getMessage()), **known}
    event = _beginning(record, "log") | {"logger": record.name, "text": record.getMessage()}
    if record.exc_info:
        kind, exc, _ = record.exc_info
        event["error"] = kind.__name__ if kind else None
        if with_trace and exc is not None:
            event["exception"] = trace_of(exc)
    if with_trace and record.stack_info:
        event["stack_info"] = record.stack_info
    return event


def _is_needed(record: logging.LogRecord) -> bool:
    """Whether a record is a problem; not a rejection: there may be millions, and the ledger has them."""
    return record.levelno >= logging.WARNING and record.msg != Rejected.event


_handler = _ToStderr()


def attach(console: Speaker) -> None:
    """From now on everything that is logged goes to stderr, as this console has it."""
    _handler.console = console
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if console.volume is Volume.VERBOSE else logging.INFO)


def attached() -> Speaker:
    """The console as which this process speaks."""
    return _handler.console


def take_over(console: Speaker) -> None:
    """Attach for the life of the process: its warnings and uncaught exceptions go the same way."""
    attach(console)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def record_event(console: Speaker, level: Level, event: str, known: Mapping[str, object]) -> None:
    """Write an event for programs."""
    if _handler not in logging.getLogger().handlers or _handler.console is not console:
        attach(console)
    logging.getLogger(_OURS).log(_NUMBERS[level], event, extra={"known": known})


def say_defect(console: Speaker, exc: BaseException, where: str = "") -> None:
    """Say that something happened which nobody expected; its own words may hold anything, -v shows them."""
    said = f"a defect in batcher{where}, {type(exc).__name__}: report it"
    trace = trace_of(exc) if console.volume is Volume.VERBOSE else ""
    if console.for_programs:
        known = {"text": said, "error": type(exc).__name__, **({"exception": trace} if trace else {})}
        record_event(console, Level.ERROR, "defect", known)
    else:
        console.write(f"batcher: {said}" + (f"\n{trace}" if trace else "; -v shows where"))


def trace_of(exc: BaseException) -> str:
    """Where an exception came from, as Python shows it."""
    return "".join(traceback.format_exception(exc)).rstrip()


# -- what nobody has caught --------------------------------------------------------------------------


def _uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    del kind, trace
    if not isinstance(exc, KeyboardInterrupt):
        say_defect(_handler.console, exc)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        say_defect(_handler.console, args.exc_value, f" (thread {name})")


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, BrokenPipeError):
        say_defect(_handler.console, args.exc_value, " (while something was taken away)")
