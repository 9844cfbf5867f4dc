"""Log records on stderr: those of the libraries, and our own events for ``--log-format json``.

One handler of the root logger writes all of them, so that nothing gets out unredacted: aiohttp, SQLAlchemy,
asyncio, Python's warnings and uncaught exceptions are written like our own events. It never raises. Attached
by the command line at the start of a command; the console calls :func:`record_event`.
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
from typing import TYPE_CHECKING, Any

from batcher.cli.terminal.stderr_writer import write_line
from batcher.cli.terminal.text import Volume, legible
from batcher.model.events import Rejected

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console

_OURS = "batcher"


class _StderrHandler(logging.Handler):
    """Writes each record in the format of the attached console: lines of text, or a JSON object."""

    console: Console
    """The console that was attached last; without one nothing must be logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is named instead."""
        try:
            text = self._line(_event_of(record, with_trace=self.console.volume is Volume.VERBOSE))
        except Exception as exc:  # a record of a library may hold anything; logging it must not end a run
            words = f"what {record.name} logs cannot be written, {type(exc).__name__}"
            text = self._line(_beginning(record, "log") | {"text": words})
        write_line(text, needed=_is_needed(record))

    def _line(self, event: Mapping[str, object]) -> str:
        """Return an event as it is written. The only place where logged events are redacted."""
        event = {name: self.console.redaction.under(name, value) for name, value in event.items()}
        if self.console.for_programs:
            return json.dumps(event)  # escaped: nothing in it ends the line or controls a terminal
        words = " ".join(str(event.get("text", event["event"])).split())
        error = f" ({event['error']}; -v shows where)" if event.get("error") else ""
        trace = f"\n{event['exception']}" if "exception" in event else ""
        source = f"{event['logger']}: " if "logger" in event else ""
        return legible(f"batcher: {event['level']}: {source}{words}{trace or error}")


def _beginning(record: logging.LogRecord, event: str) -> dict[str, Any]:
    """Return the fields that every event begins with."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
    return {"timestamp": at, "level": record.levelname.lower(), "event": event}


def _event_of(record: logging.LogRecord, *, with_trace: bool) -> dict[str, Any]:
    """Return the event of a record: one of ours, or the text of a library."""
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


_handler = _StderrHandler()


def attach(console: Console) -> None:
    """Write everything that is logged to stderr from now on, in the format of this console."""
    _handler.console = console
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if console.volume is Volume.VERBOSE else logging.INFO)


def take_over(console: Console) -> None:
    """Attach for the life of the process, and log its warnings and uncaught exceptions as well."""
    attach(console)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def record_event(console: Console, level: int, event: str, known: Mapping[str, object]) -> None:
    """Write an event as a JSON object."""
    if _handler not in logging.getLogger().handlers or _handler.console is not console:
        attach(console)
    logging.getLogger(_OURS).log(level, event, extra={"known": known})


def say_defect(console: Console, exc: BaseException, where: str = "") -> None:
    """Report an unexpected exception. Its text may hold anything, so only -v shows it."""
    text = f"a defect in batcher{where}, {type(exc).__name__}: report it"
    trace = trace_of(exc) if console.volume is Volume.VERBOSE else ""
    if console.for_programs:
        known = {"text": text, "error": type(exc).__name__, **({"exception": trace} if trace else {})}
        record_event(console, logging.ERROR, "defect", known)
    else:
        console.write(f"batcher: {text}" + (f"\n{trace}" if trace else "; -v shows where"))


def trace_of(exc: BaseException) -> str:
    """Return the traceback of an exception."""
    return "".join(traceback.format_exception(exc)).rstrip()


# -- uncaught exceptions -----------------------------------------------------------------------------


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
        say_defect(_handler.console, args.exc_value, " (while an object was destroyed)")
