"""Notifications through apprise and pings by plain HTTP, at the start and end of a command.

Called by :mod:`batcher.cli.announcer`. A hook may hang or refuse: each is called in a daemon thread, so that
the command waits for it no longer than a limit. A failing hook never raises and is never retried. Addresses
carry tokens and are never named.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batcher.exit_codes import ExitCode

if TYPE_CHECKING:
    from apprise import NotifyBase

LIMIT_S = 10.0
"""The time limit for all hooks together at the end of a command, and for the answer to a ping."""

LONGEST_BODY = 1_500
"""Characters; the strictest services accept little more."""

_HTTP_ERROR = re.compile(r"error=([1-5]\d\d)\b")

Delivery = Callable[[], str | None]
"""Calls a hook; returns why that failed, or None."""


class NotifyOn(StrEnum):
    """The ends of a command that are notified."""

    FAILURE = "failure"
    """The run has left something that the user must handle."""
    HALT = "halt"
    """The run had to stop: the service refuses the account, or the ledger cannot be used."""
    ALWAYS = "always"
    NEVER = "never"


HALTS = frozenset({ExitCode.HALTED, ExitCode.LEDGER, ExitCode.DEFECT})
"""Exit codes of runs that will not succeed by being repeated."""

FAILURES = HALTS | {ExitCode.TROUBLE, ExitCode.USAGE, ExitCode.LEDGER_BUSY, ExitCode.SIGTERM}
"""Exit codes after which the user must act. SIGINT is not among them: the user pressed Ctrl-C."""


def is_failure(exit_code: int, *, bounded: bool) -> bool:
    """Whether the user must act.

    Args:
        exit_code: of the run.
        bounded: the run had a limit of its own: work left is then not a failure.
    """
    return exit_code in FAILURES or (exit_code == ExitCode.WORK_LEFT and not bounded)


def is_notified(notify_on: NotifyOn, exit_code: int, *, bounded: bool) -> bool:
    """Whether a run with this exit code is notified."""
    return {
        NotifyOn.FAILURE: is_failure(exit_code, bounded=bounded),
        NotifyOn.HALT: exit_code in HALTS,
        NotifyOn.ALWAYS: True,
        NotifyOn.NEVER: False,
    }[notify_on]


class HookCalls:
    """Calls of hooks in progress, each in a daemon thread of its own."""

    def __init__(self) -> None:
        self._threads: list[tuple[str, threading.Thread]] = []
        self._problems: dict[str, str] = {}

    def begin(self, name: str, deliver: Delivery) -> None:
        """Call a hook; calls of the same name follow one another."""
        before = [thread for other, thread in self._threads if other == name]
        thread = threading.Thread(
            target=self._run, args=(name, deliver, before), name=f"hook-{name}", daemon=True
        )
        self._threads.append((name, thread))
        thread.start()

    def wait(self, limit_s: float = LIMIT_S) -> list[str]:
        """Wait until all calls have ended or the time is up; return one text for each that failed."""
        until = time.monotonic() + limit_s
        for name, thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))
            if thread.is_alive():
                self._problems.setdefault(name, f"no answer within {limit_s:g} s")
        return [f"{name}: {why}" for name, why in dict(self._problems).items()]

    def _run(self, name: str, deliver: Delivery, before: Sequence[threading.Thread]) -> None:
        for thread in before:
            thread.join()
        try:
            why = deliver()
        except Exception as exc:  # a fault in a hook's code must not change how the command ends
            why = type(exc).__name__  # its text may hold the address
        if why is not None:
            self._problems.setdefault(name, why)


# -- pings ----------------------------------------------------------------------------------------------


def ping_at(url: str, *more: str) -> str:
    """Return the URL of a ping: the URL of the check, with the event added to its path."""
    parts = urlsplit(url)
    return parts._replace(path="/".join([parts.path.rstrip("/"), *more]) if more else parts.path).geturl()


def ping(url: str, agent: str, limit_s: float = LIMIT_S) -> str | None:
    """GET an address; return why that failed, or None."""
    request = urllib.request.Request(url, headers={"User-Agent": agent})
    try:
        with urllib.request.urlopen(request, timeout=limit_s) as answer:
            answer.read(1)
    except urllib.error.HTTPError as exc:
        with contextlib.closing(exc):
            return f"HTTP {exc.code}"
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except urllib.error.URLError as exc:
        return _reason_of(exc.reason)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return _reason_of(exc)
    return None


def _reason_of(reason: object) -> str:
    """Return why a call failed, without any text that may hold its address."""
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return (reason.strerror if isinstance(reason, OSError) else None) or "no answer that can be read"


# -- notifications --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """A notification about a command."""

    title: str
    body: str
    """One line."""
    kind: str
    """``success``, ``warning`` or ``failure``; some services show a colour for it."""


class Hook:
    """One address for notifications; the address itself is never shown."""

    def __init__(self, service: NotifyBase, statuses: _HttpStatuses) -> None:
        self._service = service
        self._statuses = statuses

    def __call__(self, note: Note) -> str | None:
        """Send a note; return why that failed, or None. Blocks."""
        from apprise import NotifyFormat, NotifyType
        from apprise.conversion import convert_between

        body = convert_between(  # type: ignore[no-untyped-call]  # the library leaves it untyped
            NotifyFormat.TEXT, self._service.notify_format, note.body
        )
        # Sent by the service itself: the library's collection uses threads that the process would wait for.
        if self._service.notify(title=note.title, body=body, notify_type=NotifyType(note.kind)):
            return None
        status = self._statuses.by_thread.get(threading.get_ident())
        return f"HTTP {status}" if status else "it could not be delivered"


class NoApprise(Exception):
    """apprise is not installed."""


def hooks_at(addresses: Sequence[str]) -> list[Hook | None]:
    """Return a hook for each address; None for an address that apprise does not understand.

    Raises:
        NoApprise: apprise is not installed.
    """
    try:
        from apprise import Apprise
    except ImportError as exc:
        raise NoApprise from exc
    statuses = _HttpStatuses()
    logger = logging.getLogger("apprise")
    logger.addHandler(statuses)
    logger.propagate = False  # its texts hold addresses
    return [_hook(Apprise.instantiate, address, statuses) for address in addresses]


def _hook(
    instantiate: Callable[[str], NotifyBase | None], address: str, statuses: _HttpStatuses
) -> Hook | None:
    try:
        service = instantiate(address)
    except Exception:  # a fault in a service's code must not end a run
        return None
    return None if service is None else Hook(service, statuses)


def addresses_in(text: str) -> list[str]:
    """Return addresses separated by blanks or line ends; a line that begins with ``#`` is a comment."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [address for line in lines for address in line.split()]


class _HttpStatuses(logging.Handler):
    """Keeps the HTTP status from the library's log records, the only place where it is reported."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.by_thread: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status for the thread of the call; the text itself is dropped."""
        if found := _HTTP_ERROR.search(record.getMessage()):
            self.by_thread[threading.get_ident()] = found[1]
