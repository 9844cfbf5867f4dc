"""Places of the runs of this machine: which processes run with one limit, and whether another one fits.

Called by :mod:`batcher.flowcontrol.machine_limit`. A place is a lock on a file, so it vanishes with its
process. The format of the file must stay the same between versions that run on one machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from batcher.flowcontrol.limit_key import LIMIT_PER_S, LimitKey
from batcher.flowcontrol.shared_folder import MAGIC, create_file, open_file, try_lock
from batcher.flowcontrol.shared_moments import SharedMoments
from batcher.model.ledger_name import LedgerName

PLACES = 40
LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Sender:
    """A process that runs, as others see it."""

    ledger: str
    command: str
    """The command's name, without arguments: those may hold signed URLs."""
    rate_per_s: float
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, ledger: LedgerName, command: str, rate_per_s: float) -> Sender:
        """Describe this process, with the absolute path of its ledger."""
        return cls(str(ledger.resolve() if isinstance(ledger, Path) else ledger), command, rate_per_s)

    def __str__(self) -> str:
        began = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return (
            f"process {self.pid} on {self.host}, since {began} ({self.command} --rate {self.rate_per_s:g}, "
            f"ledger {self.ledger})"
        )

    def shares_with(self, other: Sender) -> bool:
        """Whether another run is on the same ledger in PostgreSQL, where all runs share the limit."""
        return _schema_of(self.ledger) is not None and _schema_of(self.ledger) == _schema_of(other.ledger)

    def written(self) -> bytes:
        """Return the content of the place's file."""
        values = asdict(self) | {"since": self.since.isoformat(timespec="seconds")}
        return MAGIC + json.dumps(values).encode()

    @classmethod
    def read(cls, content: bytes) -> Sender:
        """Read the content of a locked file; one that cannot be read counts as the whole limit."""
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


def _schema_of(ledger: str) -> str | None:
    """Return the database and schema of a ledger in PostgreSQL; its server has several names."""
    if not ledger.startswith("postgresql://"):
        return None
    return ledger.rpartition("/")[2].partition("&")[0]


def _text(value: object) -> str:
    """Return printable text; another user may have written the file."""
    return "".join(char for char in str(value) if char.isprintable())[:LONGEST_TEXT]


def fits(sender: Sender, others: list[Sender]) -> bool:
    """Whether a run may go next to others: their rates add up to the limit at most.

    Runs on one ledger that is not a file share the limit among themselves.
    """
    rates = [other.rate_per_s for other in others if not sender.shares_with(other)]
    return not rates or sender.rate_per_s + sum(rates) <= LIMIT_PER_S


class RunPlace:
    """The place of this process; all its runs with one limit share it."""

    def __init__(self, folder: int, file: int, name: str) -> None:
        self._folder = os.dup(folder)
        self._file = file
        self._name = name
        self._senders: list[Sender] = []

    def join(self, sender: Sender) -> None:
        """Add a run of this process."""
        self._senders.append(sender)
        self._write()

    def leave(self, sender: Sender) -> bool:
        """Remove a run; return whether it was the last one, so that the place is released."""
        self._senders.remove(sender)
        if self._senders:
            self._write()
            return False
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)
        self.close()
        return True

    def close(self) -> None:
        """Close the files; the lock ends when all processes that inherited it have closed them."""
        os.close(self._file)
        os.close(self._folder)

    def _write(self) -> None:
        rates = [sender.rate_per_s for sender in self._senders]
        shown = min(sum(rates), max(LIMIT_PER_S, *rates))
        content = replace(self._senders[0], rate_per_s=shown).written()
        with contextlib.suppress(OSError):  # a full disk: the place is held without a name
            os.pwrite(self._file, content, 0)
            os.ftruncate(self._file, len(content))


def try_place(key: LimitKey, moments: SharedMoments, sender: Sender) -> RunPlace | list[Sender] | None:
    """Take a place; return the other runs when there is no room, None when nothing can be shared.

    Raises:
        BlockingIOError: another process has the list at this moment.
    """
    with moments.taken():
        if (folder := moments.folder) < 0:
            return None
        others, free = look_around(folder, key)
        if not fits(sender, others):
            return others
        for name in free:
            with contextlib.suppress(OSError):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)  # left by a killed process; another user's stays
                file = create_file(folder, name, 0o644)
                try_lock(file)
                place = RunPlace(folder, file, name)
                place.join(sender)
                return place
        return None


def look_around(folder: int, key: LimitKey) -> tuple[list[Sender], list[str]]:
    """Return the runs that hold a place, and the names of the free places."""
    others, free = [], []
    for n in range(PLACES):
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
