"""Word of a run to people and programs elsewhere: notifications through apprise, and pings by plain HTTP.

Between the command line, which says what there is to tell, and hooks that may hang, refuse or be gone. Each
is called in a thread that ends with the process, so that nobody has to wait for it longer than is wanted.
Never raises for what a hook does, never retries, and never names an address: addresses carry tokens.
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

if TYPE_CHECKING:
    from apprise import NotifyBase

LIMIT_S = 10.0
"""How long the end of a run waits for all hooks together, and a ping for an answer."""

LONGEST_BODY = 1_500
"""Characters; the narrowest services take little more."""

_HTTP_ERROR = re.compile(r"error=([1-5]\d\d)\b")

Delivery = Callable[[], str | None]
"""Calls a hook; says why that did not work, or None."""


class NotifyOn(StrEnum):
    """When a notification is wanted."""

    FAILURE = "failure"
    """The run has left something that a person must see to."""
    HALT = "halt"
    """Going on would have been wrong: the service refuses us, or the ledger cannot be used."""
    ALWAYS = "always"
    NEVER = "never"


HALTS = frozenset({3, 6, 70})
"""Exit codes of runs that will not do better by themselves; 70 is a defect."""

FAILURES = HALTS | {1, 2, 5, 143}
"""Exit codes after which a person has something to do. 130 is none: whoever pressed Ctrl-C knows."""

WORK_LEFT = 4


def is_failure(exit_code: int, *, bounded: bool) -> bool:
    """Whether a person has something to see to.

    Args:
        exit_code: of the run.
        bounded: the run was given an end before its work's: leaving work is then no failure.
    """
    return exit_code in FAILURES or (exit_code == WORK_LEFT and not bounded)


def is_wanted(notify_on: NotifyOn, exit_code: int, *, bounded: bool) -> bool:
    """Whether there is a notification of a run that ended so."""
    match notify_on:
        case NotifyOn.ALWAYS:
            return True
        case NotifyOn.NEVER:
            return False
        case NotifyOn.HALT:
            return exit_code in HALTS
        case NotifyOn.FAILURE:
            return is_failure(exit_code, bounded=bounded)


class HookCalls:
    """Calls of hooks under way, each in a thread of its own that ends with the process."""

    def __init__(self) -> None:
        self._threads: list[tuple[str, threading.Thread]] = []
        self._problems: dict[str, str] = {}

    def begin(self, name: str, deliver: Delivery) -> None:
        """Call a hook; errands of the same name follow one another."""
        before = [thread for other, thread in self._threads if other == name]
        thread = threading.Thread(
            target=self._run, args=(name, deliver, before), name=f"errand-{name}", daemon=True
        )
        self._threads.append((name, thread))
        thread.start()

    def wait(self, limit_s: float = LIMIT_S) -> list[str]:
        """Wait until all are done or the time is over; what did not work, one text for each name."""
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
        except Exception as exc:  # whatever a hook's code does, the run has ended as it has
            why = type(exc).__name__  # its text may hold the address
        if why is not None:
            self._problems.setdefault(name, why)


# -- pings ----------------------------------------------------------------------------------------------


def ping_at(url: str, *more: str) -> str:
    """The address of a ping: that of the check, with what happened added to its path."""
    parts = urlsplit(url)
    return parts._replace(path="/".join([parts.path.rstrip("/"), *more]) if more else parts.path).geturl()


def ping(url: str, agent: str, limit_s: float = LIMIT_S) -> str | None:
    """GET an address; says why that did not work, or None."""
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
        return _said(exc.reason)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return _said(exc)
    return None


def _said(reason: object) -> str:
    """Why a call failed, without any text that may hold its address."""
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return (reason.strerror if isinstance(reason, OSError) else None) or "no answer that can be read"


# -- notifications --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """What a person is told of a run."""

    title: str
    body: str
    """One line."""
    kind: str
    """``success``, ``warning`` or ``failure``: some services colour by it."""


class Hook:
    """One address to which notifications go; it shows its kind and never itself."""

    def __init__(self, service: NotifyBase, overheard: _Overheard) -> None:
        self._service = service
        self._overheard = overheard

    def __call__(self, note: Note) -> str | None:
        """Send a note; says why that did not work, or None. Blocks."""
        from apprise import NotifyFormat, NotifyType
        from apprise.conversion import convert_between

        body = convert_between(  # type: ignore[no-untyped-call]  # the library leaves it untyped
            NotifyFormat.TEXT, self._service.notify_format, note.body
        )
        # By the service itself: its collection would send from threads for which the process waits.
        if self._service.notify(title=note.title, body=body, notify_type=NotifyType(note.kind)):
            return None
        status = self._overheard.status.get(threading.get_ident())
        return f"HTTP {status}" if status else "it could not be delivered"


class NoApprise(Exception):
    """The library that knows the services is not installed."""


def hooks_at(addresses: Sequence[str]) -> list[Hook | None]:
    """A hook for each address; None for one that no service understands.

    Raises:
        NoApprise: it is not installed.
    """
    try:
        from apprise import Apprise
    except ImportError as exc:
        raise NoApprise from exc
    overheard = _Overheard()
    logger = logging.getLogger("apprise")
    logger.addHandler(overheard)
    logger.propagate = False  # its texts hold addresses
    return [_hook(Apprise.instantiate, address, overheard) for address in addresses]


def _hook(
    instantiate: Callable[[str], NotifyBase | None], address: str, overheard: _Overheard
) -> Hook | None:
    try:
        service = instantiate(address)
    except Exception:  # whatever a service's own code makes of an address, it does not end a run
        return None
    return None if service is None else Hook(service, overheard)


def addresses_in(text: str) -> list[str]:
    """Addresses separated by blanks or ends of lines; a line that begins with ``#`` is a remark."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [address for line in lines for address in line.split()]


class _Overheard(logging.Handler):
    """Takes the HTTP status out of what the library logs, which is the only place where it tells it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status for the thread that has met it; the text itself goes nowhere."""
        if found := _HTTP_ERROR.search(record.getMessage()):
            self.status[threading.get_ident()] = found[1]
