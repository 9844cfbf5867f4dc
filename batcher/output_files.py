"""Output files: which files must not be overwritten, and how a file is written whole or not at all.

Every package that opens an output file of the user calls :func:`check_target` or :func:`written_whole` first.
The command line registers the files that it reads and keeps with :func:`protect`. Files are compared by
inode, so that links and other spellings of a path make no difference. Overwriting a ledger destroys it: do
not weaken the checks.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batcher.errors import SettingsError
from batcher.files import is_link, shortened

SQLITE_MAGIC = b"SQLite format 3\0"

_COMPANION = re.compile(r"(-wal|-shm|-journal|(\.[a-z]+)?\.lock|\.reserve)$", re.IGNORECASE)
"""The suffixes by which a ledger's companion files extend the name of the ledger."""

_COMPANIONS = ("-wal", "-shm", "-journal", ".lock", ".track.lock", ".fetch.lock", ".reserve")

MOST_NAME_BYTES = 200
"""The length of a file's name that its temporary file repeats; a name has 255 bytes at most."""

_STDIN, _STDOUT = 0, 1

_LEDGER = "the ledger itself"


@dataclass(frozen=True, slots=True)
class Protected:
    """The files that no output may replace."""

    ledgers: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    stdin_is_input: bool = False

    def owner(self, target: _File) -> str | None:
        """Return what a protected file is; None for any other file."""
        for ledger in self.ledgers:
            if target.is_the_same(_File.at(ledger)):
                return _LEDGER
            if any(target.is_the_same(_File.at(one)) for one in _beside(ledger)):
                return f"a file that belongs to the ledger {ledger}"
        if any(target.is_the_same(_File.at(one)) for one in self.inputs):
            return "a file that this command reads"
        if self.stdin_is_input and target.is_the_same(_File.of_descriptor(_STDIN)):
            return "the file that this command reads from stdin"
        return None


@dataclass(frozen=True, slots=True)
class _File:
    """A file, or a path without a file yet."""

    place: str
    identity: tuple[int, int] | None
    """Device and inode; None where there is no regular file."""
    exists: bool

    @classmethod
    def at(cls, path: Path) -> _File:
        """Return the file of a path, links followed."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return cls(os.path.realpath(path).casefold(), None, exists=False)
        return cls(str(path), _identity(found), exists=True)

    @classmethod
    def of_descriptor(cls, descriptor: int) -> _File:
        """Return the file behind an open descriptor."""
        try:
            return cls("", _identity(os.fstat(descriptor)), exists=True)
        except OSError:
            return cls("", None, exists=True)

    def is_the_same(self, other: _File) -> bool:
        """Whether writing one file would write the other."""
        if self.exists or other.exists:
            return self.identity is not None and self.identity == other.identity
        return self.place == other.place


_protected = Protected()


def protect(files: Protected) -> None:
    """Register the files that the present command reads and keeps, instead of those registered before."""
    global _protected
    _protected = files


def check_target(target: Path, named: str, *, may_be_database: bool = False) -> None:
    """Refuse to write over the ledger, its companions, an input, or any database.

    Args:
        target: the file to be written.
        named: the option that names it, for the message.
        may_be_database: allow a copy of a ledger to replace an older one.

    Raises:
        SettingsError: it must not be written.
    """
    file = _File.at(target)
    # By inode first: opening a ledger that is in use, and closing it, would drop its locks.
    what = _protected.owner(file) or _owner_by_name(target)
    if what is None and file.identity is not None and not may_be_database and _is_database(target):
        what = "an SQLite database"
    if what is not None:
        place = "" if not is_link(target) else f" (a link to {os.path.realpath(target)})"
        raise SettingsError(
            f"{named} {target}{place}: this is {what}, and writing here would destroy it; name another file"
        )


def check_stdout() -> None:
    """Refuse a stdout that the shell has redirected into the ledger or an input.

    Raises:
        SettingsError: it is one of them.
    """
    if sys.stdout is None:
        return
    file = _File.of_descriptor(_STDOUT)
    what = _protected.owner(file) if file.identity is not None else None
    if what is not None:
        raise SettingsError(f"stdout is redirected into {what}; redirect it into another file")


@contextmanager
def written_whole(
    place: Path, named: str, *, mode: int | None = None, beside: Path | None = None
) -> Iterator[BinaryIO]:
    """Write a temporary file in the same folder, sync it, and rename it: a reader never sees half of the
    file.

    Args:
        place: the file; an existing one is replaced.
        named: the option that names it, for the message.
        mode: its permissions; None leaves them to the umask.
        beside: the temporary file; None takes a free name.

    Raises:
        SettingsError: the file must not be overwritten.
        OSError: it cannot be written; the temporary file is removed.
    """
    check_target(place, named)
    if beside is None:
        beside = name_beside(place)
    else:
        beside.unlink(missing_ok=True)
    with renamed_when_whole(beside, place, mode=mode) as file:
        yield file


def name_beside(place: Path) -> Path:
    """Return a free name in the folder of a file, for its temporary file."""
    return place.with_name(f".{shortened(place.name, MOST_NAME_BYTES)}.{secrets.token_hex(4)}")


@contextmanager
def renamed_when_whole(
    beside: Path | str, place: Path | str, *, mode: int | None = None, folder: int | None = None
) -> Iterator[BinaryIO]:
    """Create a file under a name that is free, sync it, and rename it to its place.

    Args:
        beside: the name until the file is whole.
        place: its name afterwards; a file that is there is replaced.
        mode: its permissions; None leaves them to the umask.
        folder: an open folder that both names are relative to.

    Raises:
        OSError: it cannot be written; nothing stays behind.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(beside, flags, 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            if mode is not None:
                os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, place, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise


def _identity(found: os.stat_result) -> tuple[int, int] | None:
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _beside(ledger: Path) -> Iterable[Path]:
    """Return the companions of a ledger, next to the given name and next to the file itself."""
    names = dict.fromkeys((str(ledger), os.path.realpath(ledger)))
    return (Path(f"{name}{end}") for name in names for end in _COMPANIONS)


def _owner_by_name(target: Path) -> str | None:
    """Return what a file is by its name, when it belongs to a database in the same folder."""
    place = Path(os.path.realpath(target))
    if not (added := _COMPANION.search(place.name)):
        return None
    database = place.with_name(place.name[: added.start()])
    file = _File.at(database)
    if file.identity is None:
        return None
    owner = _protected.owner(file)  # first, as above
    is_ledger = owner == _LEDGER
    if is_ledger or (owner is None and _is_database(database)):
        return f"a file that belongs to the {'ledger' if is_ledger else 'database'} {database}"
    return None


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False
