"""Log records on their way to stderr: the libraries' own, and what a program is told of a run.

One handler of the root logger, and one chain of processors, so that nothing gets out unredacted:
aiohttp, SQLAlchemy, asyncio, Python's warnings and exceptions that nobody has caught pass it as our own
events do. Never raises. What formats the records is brought in with the first of them: most commands log
nothing.
"""

from __future__ import annotations

import functools
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
    from structlog.stdlib import BoundLogger, ProcessorFormatter
    from structlog.typing import EventDict, WrappedLogger

    from batcher.config.settings import Settings
    from batcher.telemetry.redaction import Redaction

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
        self._formatter: ProcessorFormatter | None = None

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
            if self._formatter is None:
                self._formatter = self._chain()
            text = self._formatter.format(record)
        except Exception as exc:  # whatever stands in a record, logging it must not end a run
            text = self._unformatted(record, exc)
        write_line(text, needed=_is_needed(record))

    def _chain(self) -> ProcessorFormatter:
        """Every record through the same processors, whoever has made it."""
        import structlog

        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_beginning(), self._as_event, structlog.processors.format_exc_info],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                self._redact,
                self._render,
            ],
        )

    def _as_event(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """What a library says, as an event: its words; where an exception was only when that is wanted."""
        del logger, method
        event.update(event="log", logger=event["_record"].name, text=event["event"])
        if event.get("exc_info"):
            event["error"] = event["exc_info"][0].__name__ if event["exc_info"][0] else None
        if self.console.volume is not Volume.VERBOSE:
            event.pop("exc_info", None)
            event.pop("stack_info", None)
        return event

    def _redact(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """The one place where whatever is logged loses what must not be told."""
        del logger, method
        return {name: self.console.redaction.under(name, value) for name, value in event.items()}

    def _render(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        del logger, method
        if self.console.for_programs:
            head = {name: event.pop(name) for name in ("timestamp", "level", "event")}
            return json.dumps({**head, **event})  # escaped: nothing in it ends the line or steers a terminal
        words = " ".join(str(event.get("text", event["event"])).split())
        error = f" ({event['error']}; -v shows where)" if event.get("error") else ""
        trace = f"\n{event['exception']}" if "exception" in event else ""
        source = f"{event['logger']}: " if "logger" in event else ""
        return legible(f"batcher: {event['level']}: {source}{words}{trace or error}")

    def _unformatted(self, record: logging.LogRecord, exc: Exception) -> str:
        level, text = (
            record.levelname.lower(),
            f"what {record.name} logs cannot be written, {type(exc).__name__}",
        )
        if self.console.for_programs:
            now = datetime.now(UTC).isoformat()
            return json.dumps({"timestamp": now, "level": level, "event": "log", "text": text})
        return f"batcher: {level}: {text}"


def _is_needed(record: logging.LogRecord) -> bool:
    """Whether a record is a problem. Of what was rejected there may be millions: the ledger has them all."""
    of_one = isinstance(record.msg, Mapping) and record.msg.get("event") == Rejected.event
    return record.levelno >= logging.WARNING and not of_one


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
    _logger().log(_NUMBERS[level], event, **known)


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


@functools.cache
def _logger() -> BoundLogger:
    import structlog

    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(_OURS),
        processors=[*_beginning(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


def _beginning() -> list[Any]:
    """What every event begins with."""
    import structlog

    return [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


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
