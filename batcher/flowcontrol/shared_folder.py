"""The folder that all processes of this machine share, for small files that coordinate them.

Called by :mod:`~batcher.flowcontrol.shared_moments` and :mod:`~batcher.flowcontrol.run_place`. On Linux the
folder is in ``/dev/shm``: local, writable for all users, empty after a restart of the machine, and the same
one for services with a private temporary folder. Elsewhere it is in ``/tmp``. ``TMPDIR`` is not used, since
each user may have another one.

Other users may write there, so nothing in the folder must be trusted: links are not followed, a file with a
second name or foreign content is not touched, and content only decides how long to wait. Files may vanish at
any time (systemd removes those of a user who has logged out), so callers open them again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from pathlib import Path

FOLDER = "batcher-limits"
MAGIC = b"batcher1"
"""The first bytes of each file of batcher."""

FOR_EVERYBODY = 0o1777
"""The mode of /tmp: all users may add files, and remove only their own."""

MOST_BYTES = 8192
SWEPT_AFTER_S = 600.0
"""A file that was not written for this long is out of use."""
SWEPT_AT_ONCE = 100

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def shared_folders() -> tuple[Path, ...]:
    """Return the places of the folder, the best one first."""
    return tuple(Path(place) / FOLDER for place in ("/dev/shm", "/tmp") if os.path.isdir(place))  # noqa: PTH112


def open_folder(places: tuple[Path, ...]) -> int:
    """Open the first folder that can be used, and create it if it is missing; return its descriptor.

    Raises:
        OSError: no folder can be used.
    """
    problem: OSError = FileNotFoundError("this machine has no shared folder")
    for place in places:
        try:
            return _open_folder(place)
        except OSError as exc:
            problem = exc
    raise problem


def _open_folder(place: Path) -> int:
    with contextlib.suppress(FileExistsError):
        place.mkdir(0o700)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        about = os.fstat(folder)
        if about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) != FOR_EVERYBODY:
            os.fchmod(folder, FOR_EVERYBODY)  # not by mkdir: the umask would take rights away
        elif not about.st_mode & stat.S_ISVTX or not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(f"{place} is not a folder that all users may write")
    except BaseException:
        os.close(folder)
        raise
    return folder


def open_file(folder: int, name: str, *, writing: bool, mode: int = 0o666) -> int:
    """Open a file of batcher.

    Args:
        folder: its descriptor.
        name: of the file in it.
        writing: open for writing, and create a missing file.
        mode: of a new file.

    Raises:
        FileNotFoundError: there is no file to read.
        OSError: the file cannot be used, or is not a file of batcher.
    """
    while True:
        try:
            file = os.open(name, (os.O_RDWR if writing else os.O_RDONLY) | _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            if not writing:
                raise
            with contextlib.suppress(FileExistsError):
                return create_file(folder, name, mode)
            continue
        try:
            _check(file, name)
        except BaseException:
            os.close(file)
            raise
        return file


def create_file(folder: int, name: str, mode: int) -> int:
    """Create a file.

    Raises:
        FileExistsError: a file of this name exists.
        OSError: it cannot be created.
    """
    file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, mode, dir_fd=folder)
    os.fchmod(file, mode)
    return file


def _check(file: int, name: str) -> None:
    about = os.fstat(file)
    begins = os.pread(file, len(MAGIC), 0) if stat.S_ISREG(about.st_mode) else b"-"
    if about.st_nlink > 1 or about.st_size > MOST_BYTES or begins not in (b"", MAGIC):
        raise PermissionError(f"{name} is not a file of batcher")


def is_named(file: int, folder: int, name: str) -> bool:
    """Whether an open file still has this name."""
    try:
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    about = os.fstat(file)
    return (named.st_dev, named.st_ino) == (about.st_dev, about.st_ino)


def try_lock(file: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock a file unless another process has locked it; the lock ends with the process."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sweep(folder: int) -> None:
    """Remove some of the files that are out of use."""
    long_ago = time.time() - SWEPT_AFTER_S
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for _, entry in zip(range(SWEPT_AT_ONCE), entries, strict=False):
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < long_ago:
                    _remove_unlocked(folder, entry.name)


def _remove_unlocked(folder: int, name: str) -> None:
    file = open_file(folder, name, writing=False)
    try:
        if try_lock(file):
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(file)
