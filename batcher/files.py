"""Files and folders as users have them: whether they exist, why they cannot be used, and text in them.

Used by every package that opens a path of the user. A question about a path never raises: the file may be in
a folder that this user must not search, or have a name that no file system takes, and then opening it says
why. :func:`reason_of` is the one place that turns an error of the operating system into words.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
from pathlib import Path

from batcher.errors import BatcherError, SettingsError, SystemFault

Place = str | os.PathLike[str]

_RIGHTS = frozenset({errno.EACCES, errno.EPERM})
_DISK_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full for this user: the quota is used up",
    errno.EFBIG: "the disk is full for this process: its limit for the size of a file is reached (ulimit -f)",
}
_MACHINE = frozenset(
    {
        *(*_DISK_FULL, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENXIO),
        *(errno.ENODEV, errno.EREMOTEIO if hasattr(errno, "EREMOTEIO") else errno.EIO, errno.ENOBUFS),
    }
)
"""Errors of the machine: another path would not help, or not for long."""

_REMEDIES = {
    errno.ENOENT: "there is no such file or folder",
    errno.EISDIR: "there is a folder in its place. Name a file",
    errno.ENAMETOOLONG: "the name is too long: most file systems take 255 bytes. Give a shorter one",
    errno.ELOOP: "its symbolic links lead in a circle, or it must not be a link. Name the file itself",
    errno.EROFS: "the file system is read-only. Name another place, or mount it for writing",
    errno.EIO: "input/output error: the disk or its connection fails. Check the disk, then run again",
    errno.ESTALE: "the network file system has lost it. Mount it anew, then run again",
    errno.ENFILE: "too many files are open on this machine. Close some, then run again",
    errno.ENOMEM: "not enough memory. Close other programs, then run again",
    errno.EINVAL: "the system does not take this name or this kind of file. Name another",
}

_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


# -- questions, which never raise ------------------------------------------------------------------------


def exists(path: Place) -> bool:
    """Whether there is something at a path, links followed; False when that cannot be seen."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises where a folder must not be searched


def is_file(path: Place) -> bool:
    """Whether there is a regular file at a path; False when that cannot be seen."""
    return os.path.isfile(path)  # noqa: PTH113 - likewise


def is_folder(path: Place) -> bool:
    """Whether there is a folder at a path; False when that cannot be seen."""
    return os.path.isdir(path)  # noqa: PTH112 - likewise


def is_link(path: Place) -> bool:
    """Whether a path is a symbolic link; False when that cannot be seen."""
    return os.path.islink(path)  # noqa: PTH114 - likewise


def is_special(path: Place) -> bool:
    """Whether there is a pipe, a device or a socket at a path: written and read directly, never replaced."""
    return exists(path) and not is_file(path) and not is_folder(path)


def shortened(name: str, n_bytes: int) -> str:
    """Return the beginning of a file's name, by its bytes on the disk."""
    return os.fsdecode(os.fsencode(name)[:n_bytes])


def absolute(path: Place) -> str:
    """Return a path as messages name it: absolute, links not followed."""
    with contextlib.suppress(OSError):  # the working directory is gone
        return os.path.abspath(path)  # noqa: PTH100 - pathlib keeps ".."
    return os.fspath(path)


# -- reasons ---------------------------------------------------------------------------------------------


def reason_of(exc: OSError | ValueError, path: Place | None = None, *, to: str = "use") -> str:
    """Return why a file cannot be used, and what to do, without its name.

    Args:
        exc: the error.
        path: the file, if it is not named in the error.
        to: what was tried: ``read``, ``write``, ``use``.
    """
    if not isinstance(exc, OSError):
        return f"no file can have this name: {exc}"
    if is_no_temporary(exc):
        return "no folder for temporary files can be written. Set TMPDIR to one that can"
    named = path if path is not None else _name_in(exc)
    if exc.errno in _RIGHTS:
        folder = None if named is None else _closed_folder(named)
        if folder is not None:
            return f"this user may not enter the folder {folder}. Change its permissions, or run as its owner"
        if to == "write" and named is not None and not exists(named):
            folder = os.path.dirname(absolute(named))  # noqa: PTH120 - of a text
            return f"this user may not make files in {folder}. Change its permissions, or name another place"
        return f"this user may not {to} it. Change its permissions, or run as its owner"
    if exc.errno in _DISK_FULL:
        remedy = "Raise the limit" if exc.errno == errno.EFBIG else "Free some space"
        return f"{_DISK_FULL[exc.errno]}. {remedy}, then run again"
    if exc.errno == errno.EMFILE:
        return f"too many open files: this process may have {_most_open()}. Raise that (ulimit -n 1024)"
    lacks_folder = exc.errno in (errno.ENOENT, errno.ENOTDIR) and to == "write"
    if lacks_folder and named is not None and (missing := _missing_folder(named)):
        return f"{missing}; make it, or name another place"
    if exc.errno == errno.ENOTDIR:
        return "a part of the path is a file and not a folder. Correct the path"
    return _REMEDIES.get(exc.errno or 0) or exc.strerror or str(exc)


def is_no_temporary(exc: OSError) -> bool:
    """Whether no folder for temporary files was found; the library raises it as a missing file."""
    return "temporary directory" in str(exc.strerror)


def is_machine_fault(exc: OSError) -> bool:
    """Whether the machine is at fault (a full disk, a failing one, no descriptors), and not the path."""
    return exc.errno in _MACHINE


def unwritable(exc: OSError, name: str, path: Place | None = None) -> BatcherError:
    """Return the error of an output that cannot be written.

    Args:
        exc: the error of the operating system.
        name: the output in the message: its option and path.
        path: the file; None for one without a path.

    Returns:
        A SettingsError when another path helps, a SystemFault when the machine is at fault.
    """
    text = f"{name}: cannot be written: {reason_of(exc, path, to='write')}"
    return SystemFault(text) if is_machine_fault(exc) else SettingsError(text)


def _name_in(exc: OSError) -> Place | None:
    name = exc.filename
    return os.fsdecode(name) if isinstance(name, str | bytes) else None


def _closed_folder(path: Place) -> str | None:
    """Return the first folder on the way to a path that this user must not search; None without one."""
    for folder in reversed(Path(absolute(path)).parents):
        if is_folder(folder) and not os.access(folder, os.X_OK):
            return str(folder)
    return None


def _missing_folder(path: Place) -> str | None:
    """Return the first thing on the way to a path that is not a folder, in words; None without one."""
    folder = Path(absolute(path)).parent
    for one in (*reversed(folder.parents), folder):
        if not is_folder(one):
            return f"{one} is not a folder" if exists(one) else f"there is no folder {one}"
    return None


def _most_open() -> str:
    try:
        import resource  # not on Windows

        return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"
    except (ImportError, OSError):
        return "only so many"


def native(text: str) -> str:
    """Return a path out of a text file, as the system takes it: files of ours are UTF-8 in every locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


# -- text ------------------------------------------------------------------------------------------------


def text_of(path: Place) -> str:
    """Return the text of a file that a user writes by hand: UTF-8, without a byte-order mark.

    Raises:
        SettingsError: it cannot be read or is not UTF-8; the message lacks the file's name.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as exc:
        raise SettingsError(reason_of(exc, path, to="read")) from exc
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise SettingsError(
                "the file is in UTF-16, as Windows writes it. Save it as UTF-8 "
                f"(iconv -f {encoding} -t utf-8)"
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise SettingsError(f"line {line} is not UTF-8. Save the file as UTF-8") from exc


def others_may_read(path: Place) -> bool:
    """Whether users other than the owner may read a file."""
    try:
        return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))  # noqa: PTH116 - as above
    except (OSError, ValueError):
        return False
