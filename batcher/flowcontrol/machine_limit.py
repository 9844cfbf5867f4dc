"""The limit of one AppId and Action on this machine, whatever process sends.

The service counts 20 requests a second for each Action over everything that shares an AppId. Two things keep
all processes of a machine below that together:

* A list of the moments at which the last requests left, in a file that they share
  (:class:`SharedMoments`). Every request is counted there just before its first byte, and waits while the
  list is full. That holds for whatever sends: runs, probes, polls, searches.
* A place for each process that runs (:func:`admitted`): two runs at full speed would only halve one
  another, so the second waits, unless both rates together stay within the limit.

Places are locks on files, so they vanish with their process. Where no file can be shared the limit holds
within the process alone.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import fcntl
import hashlib
import json
import math
import os
import platform
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from batcher.config.endpoints import is_loopback, place_of
from batcher.errors import LimitBusy
from batcher.flowcontrol.pacer import CATCH_UP_TURNS, MARGIN, SlidingWindow
from batcher.flowcontrol.shared_folder import (
    MAGIC,
    create_file,
    is_named,
    open_file,
    opened_folder,
    shared_folders,
    sweep,
    try_lock,
)
from batcher.model.submission import EndpointKind

LIMIT_PER_S = 20.0
"""Of each Action, over everything that shares the AppId. Source: ZEGO server API, "Accessing server APIs"."""

LOOK_EVERY_S = 0.2
"""How often a waiting run looks whether there is room for it."""

_LOCKED_RETRY_S = 0.002
"""When to ask again while another process has the list of moments."""
_LOCKED_LONGEST_S = 2.0
"""A process that keeps the list for so long is stopped or hostile: then this one counts for itself."""
_FUTURE_S = 1.0
"""A moment farther ahead is from before a restart of the machine."""
_PLACES = 40
_LONGEST_TEXT = 300


class Action(StrEnum):
    """What is called, as the service counts it."""

    SUBMIT = "MediaThumbnails"
    POLL = "DescribeMediaTask"
    SEARCH = "SearchMedia"


@dataclass(frozen=True, slots=True)
class LimitKey:
    """Whose limit it is."""

    app_id: int
    action: Action
    service: str
    """``zego`` for all hosts of the service; host and port of any other endpoint."""

    @classmethod
    def of(cls, app_id: int, action: Action, endpoint: str) -> LimitKey:
        """The limit that calls to an endpoint count towards."""
        if place_of(endpoint) is EndpointKind.ZEGO:
            return cls(app_id, action, EndpointKind.ZEGO.value)
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(app_id, action, f"{'loopback' if is_loopback(host) else host}:{port}")

    @property
    def file_name(self) -> str:
        """The beginning of the names of its files."""
        text = f"{self.app_id}/{self.action}/{self.service}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


# -- counting ------------------------------------------------------------------------------------------


class SharedMoments:
    """The moments at which the last requests left, of this process and the others; safe in threads.

    Args:
        key: whose limit it is.
        places: where the shared folder may lie.
        clock: monotonic seconds, the same in all processes of the machine.
    """

    def __init__(
        self,
        key: LimitKey,
        places: tuple[Path, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = f"{key.file_name}.moments"
        self._places = shared_folders() if places is None else places
        self._clock = clock
        self._threads = threading.Lock()
        self._folder = self._file = -1
        self._own: list[float] = []
        """Those of this process: the file may vanish."""
        self._locked_since: float | None = None
        self.problem: str | None = None
        """Why nothing is shared with other processes; None when it is."""
        with contextlib.suppress(BlockingIOError), self.taken():
            sweep(self._folder)

    @contextmanager
    def taken(self) -> Iterator[list[float]]:
        """The moments, oldest first, to look at and to change; no other process has them meanwhile.

        Raises:
            BlockingIOError: another process has them.
        """
        with self._threads:
            shared = self._take()
            try:
                before = {*self._own, *(self._read() if shared else ())}
                moments = sorted(before)
                yield moments
                after = set(moments)
                if after != before:
                    own = ({*self._own} & after) | (after - before)
                    self._own = sorted(own)[-SlidingWindow.COUNTED_PER_S :]
                    if shared:
                        self._write(moments[-SlidingWindow.COUNTED_PER_S :])
            finally:
                if shared:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self) -> bool:
        """Lock the file; False when there is none to share."""
        try:
            if self._file < 0 or not is_named(self._file, self._folder, self._name):
                self._open()
            if try_lock(self._file):
                self._locked_since = self.problem = None
                return True
        except OSError as exc:
            self.problem = exc.strerror or str(exc)
            return False
        self._locked_since = self._locked_since or self._clock()
        if self._clock() - self._locked_since < _LOCKED_LONGEST_S:
            raise BlockingIOError
        self.problem = "another process does not release the shared list"
        return False

    def _open(self) -> None:
        self.close()
        with opened_folder(self._places) as folder:
            self._file = open_file(folder, self._name, writing=True)
            self._folder = os.dup(folder)

    def close(self) -> None:
        """Let go of the file."""
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1

    def _read(self) -> tuple[float, ...]:
        content = os.pread(self._file, len(MAGIC) + 8 * SlidingWindow.COUNTED_PER_S, 0)[len(MAGIC) :]
        moments = struct.unpack(f"{len(content) // 8}d", content[: len(content) // 8 * 8])
        latest = self._clock() + _FUTURE_S
        return tuple(at for at in moments if 0 < at < latest)

    def _write(self, moments: list[float]) -> None:
        content = MAGIC + struct.pack(f"{len(moments)}d", *moments)
        os.pwrite(self._file, content, 0)
        os.ftruncate(self._file, len(content))

    @property
    def folder(self) -> int:
        """A descriptor of the folder, for who holds the lock; -1 when nothing is shared."""
        return self._folder if self.problem is None else -1


class MachineCount:
    """What a window asks before a request leaves: whether the machine has room for it.

    Args:
        moments: of the key.
        limit_per_s: over all processes.
    """

    def __init__(self, moments: SharedMoments, limit_per_s: float) -> None:
        self._moments = moments
        self._limit = max(1, round(limit_per_s))
        self._lasts_s = self._limit / limit_per_s * (1 + MARGIN)
        self._least_s = (1 - CATCH_UP_TURNS) / limit_per_s

    def enter(self, at: float, instead_of: float) -> float:
        """Count a request that leaves now, if there is room; returns how long to wait otherwise."""
        try:
            with self._moments.taken() as moments:
                others = [one for one in moments if one != instead_of]
                if (wait_s := room_in_s(others, at, self._limit, self._lasts_s, self._least_s)) <= 0:
                    bisect.insort(others, at)
                    moments[:] = others
                return wait_s
        except BlockingIOError:
            return _LOCKED_RETRY_S

    def move(self, before: float, at: float) -> None:
        """Correct the moment of a request that is counted already; it is right to a few ms as it is."""
        with contextlib.suppress(BlockingIOError), self._moments.taken() as moments:
            if before in moments:
                moments.remove(before)
                bisect.insort(moments, at)


def room_in_s(moments: list[float], at: float, limit: int, lasts_s: float, least_s: float) -> float:
    """How long until another request may leave; nothing or less when it may now.

    Args:
        moments: at which others left, oldest first.
        at: now.
        limit: so many may leave ...
        lasts_s: ... within so long.
        least_s: the distance from the last one.
    """
    if not moments:
        return 0.0
    wait_s = moments[-1] + least_s - at
    if len(moments) >= limit:
        wait_s = max(wait_s, moments[-limit] + lasts_s - at)
    return wait_s


# -- who runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sender:
    """A process that runs."""

    ledger: str
    command: str
    """Its name, without arguments: those may hold signed URLs."""
    rate_per_s: float
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, ledger: Path, command: str, rate_per_s: float) -> Sender:
        """This process, with a ledger that others can find."""
        return cls(str(ledger.resolve()), command, rate_per_s)

    def __str__(self) -> str:
        began = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return (
            f"process {self.pid} on {self.host}, since {began} ({self.command} --rate {self.rate_per_s:g}, "
            f"ledger {self.ledger})"
        )

    def written(self) -> bytes:
        """As it stands in a file."""
        values = {
            "ledger": self.ledger,
            "command": self.command,
            "rate_per_s": self.rate_per_s,
            "pid": self.pid,
            "host": self.host,
            "since": self.since.isoformat(timespec="seconds"),
        }
        return MAGIC + json.dumps(values, ensure_ascii=True).encode()

    @classmethod
    def read(cls, content: bytes) -> Sender:
        """Read it; of what cannot be read the most is assumed, since its lock is held."""
        try:
            values = json.loads(content.removeprefix(MAGIC))
            rate_per_s = float(values["rate_per_s"])
            if not 0 < rate_per_s < math.inf:
                raise ValueError
            return cls(
                _text(values["ledger"]),
                _text(values["command"]),
                rate_per_s,
                int(values["pid"]),
                _text(values["host"]),
                datetime.fromisoformat(values["since"]).astimezone(UTC),
            )
        except (ValueError, OverflowError, TypeError, KeyError, AttributeError):
            return cls("unknown", "unknown", LIMIT_PER_S, 0, "unknown", datetime.fromtimestamp(0, UTC))


def _text(value: object) -> str:
    """Text out of a file that anybody may have written."""
    return "".join(one for one in str(value) if one.isprintable())[:_LONGEST_TEXT]


def fits(rate_per_s: float, others: list[Sender]) -> bool:
    """Whether a run may go beside others."""
    return not others or rate_per_s + sum(one.rate_per_s for one in others) <= LIMIT_PER_S


class _Place:
    """The place of this process among those that run; all its runs of one key share it."""

    def __init__(self, folder: int, file: int, name: str) -> None:
        self._folder = os.dup(folder)
        self._file = file
        self._name = name
        self._senders: list[Sender] = []

    def join(self, sender: Sender) -> None:
        """One more run of this process."""
        self._senders.append(sender)
        self._say()

    def leave(self, sender: Sender) -> bool:
        """A run has ended; returns whether it was the last one, and the place is given up."""
        self._senders.remove(sender)
        if self._senders:
            self._say()
            return False
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)
        self.close()
        return True

    def close(self) -> None:
        """Close its files; the lock is gone when all processes that have inherited it have done so."""
        os.close(self._file)
        os.close(self._folder)

    def _say(self) -> None:
        together = sum(one.rate_per_s for one in self._senders)
        most = max(LIMIT_PER_S, *(one.rate_per_s for one in self._senders))
        content = replace(self._senders[0], rate_per_s=min(together, most)).written()
        with contextlib.suppress(OSError):  # a full disk: the place is held without a name
            os.pwrite(self._file, content, 0)
            os.ftruncate(self._file, len(content))


def _try_place(key: LimitKey, moments: SharedMoments, sender: Sender) -> _Place | list[Sender] | None:
    """Take a place; returns the others when there is no room, None when nothing can be shared.

    Raises:
        BlockingIOError: another process looks just now.
    """
    with moments.taken():
        if (folder := moments.folder) < 0:
            return None
        others, free = _look_around(folder, key)
        if not fits(sender.rate_per_s, others):
            return others
        for name in free:
            with contextlib.suppress(OSError):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)  # left by a killed process; somebody else's stays
                file = create_file(folder, name, 0o644)
                try_lock(file)
                place = _Place(folder, file, name)
                place.join(sender)
                return place
        return None


def _look_around(folder: int, key: LimitKey) -> tuple[list[Sender], list[str]]:
    """Who runs, and the names of places that nobody has."""
    others, free = [], []
    for n in range(_PLACES):
        name = f"{key.file_name}.run{n}"
        try:
            file = open_file(folder, name, writing=False)
        except OSError:
            free.append(name)
            continue
        try:
            if try_lock(file, fcntl.LOCK_SH):
                free.append(name)
            else:
                others.append(Sender.read(os.pread(file, 4096, 0)))
        finally:
            os.close(file)
    return others, free


# -- of this process -------------------------------------------------------------------------------------


class _Process:
    """What this process has of each key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.moments: dict[LimitKey, SharedMoments] = {}
        self.places: dict[LimitKey, _Place] = {}

    def moments_of(self, key: LimitKey) -> SharedMoments:
        """The moments, the same for all that send."""
        with self.lock:
            if key not in self.moments:
                self.moments[key] = SharedMoments(key)
            return self.moments[key]

    def place_of(self, key: LimitKey, sender: Sender) -> _Place | list[Sender] | None:
        """A place for one more run.

        Returns:
            The other runs when there is no room beside them, an empty list when another process looks just
            now; None when nothing can be shared.
        """
        moments = self.moments_of(key)
        with self.lock:
            if (ours := self.places.get(key)) is not None:
                ours.join(sender)
                return ours
            try:
                taken = _try_place(key, moments, sender)
            except BlockingIOError:
                return []
            if isinstance(taken, _Place):
                self.places[key] = taken
            return taken

    def leave(self, key: LimitKey, place: _Place | None, sender: Sender) -> None:
        """A run has ended."""
        with self.lock:
            if place is not None and self.places.get(key) is place and place.leave(sender):
                del self.places[key]

    def forget(self) -> None:
        """After a fork: the parent's locks are not ours, and must not outlive it."""
        for moments in self.moments.values():
            moments.close()
        for place in self.places.values():
            place.close()
        self.lock, self.moments, self.places = threading.Lock(), {}, {}


_PROCESS = _Process()
os.register_at_fork(after_in_child=_PROCESS.forget)


def window_for(key: LimitKey, rate_per_s: float) -> SlidingWindow:
    """The window of a command that sends: all its pacers of this Action share it.

    Args:
        key: whose limit it is.
        rate_per_s: of the command; a rate above the limit is the user's word that there is another one.
    """
    if rate_per_s > SlidingWindow.COUNTED_PER_S:
        return SlidingWindow(rate_per_s, time.monotonic)
    count = MachineCount(_PROCESS.moments_of(key), max(rate_per_s, LIMIT_PER_S))
    return SlidingWindow(rate_per_s, time.monotonic, count)


def why_unshared(key: LimitKey) -> str | None:
    """Why other processes of this machine are not seen; None when they are."""
    return _PROCESS.moments_of(key).problem


@asynccontextmanager
async def admitted(
    key: LimitKey,
    sender: Sender,
    *,
    wait_s: float | None = None,
    waited_s: float = 0.0,
    on_wait: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Hold a place among the runs of this machine; runs of one process share one.

    Args:
        key: whose limit it is.
        sender: the run.
        wait_s: how long to wait for others; None where there is no such option.
        waited_s: how much of that has passed already.
        on_event: called once, when there is somebody to wait for.

    Raises:
        LimitBusy: other runs use the limit.
    """
    place = await _awaited_place(key, sender, wait_s, time.monotonic() - waited_s, on_wait)
    try:
        yield
    finally:
        _PROCESS.leave(key, place, sender)


async def _awaited_place(
    key: LimitKey, sender: Sender, wait_s: float | None, began: float, on_wait: Callable[[str], None]
) -> _Place | None:
    said = False
    while isinstance(taken := _PROCESS.place_of(key, sender), list):
        waited_s = time.monotonic() - began
        if taken and waited_s >= (wait_s or 0.0):
            raise LimitBusy(_busy(key, sender, taken, wait_s))
        if taken and not said:
            on_wait(f"waiting up to {wait_s:g} s for another run with AppId {key.app_id}: {taken[0]}")
            said = True
        await asyncio.sleep(min(LOOK_EVERY_S, (wait_s or 0.0) - waited_s) if taken else _LOCKED_RETRY_S)
    return taken


def _busy(key: LimitKey, sender: Sender, others: list[Sender], wait_s: float | None) -> str:
    also = f", also after waiting {wait_s:g} s" if wait_s else ""
    remedy = {None: "Wait until it has ended", 0.0: "Wait for it, or use --wait-lock"}.get(
        wait_s, "Wait longer"
    )
    return (
        f"another run uses the limit of AppId {key.app_id}{also}: {'; '.join(map(str, others))}. {remedy}, "
        f"or give both runs a --rate so that they add up to {LIMIT_PER_S:g} at most (this one has "
        f"{sender.rate_per_s:g})"
    )
