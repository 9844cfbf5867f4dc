"""Paths of pictures: folders named by recordings, files named by numbers; and their atomic writing.

Called by :mod:`batcher.fetch.fetcher` and :mod:`batcher.fetch.picture_pages`. A name never comes from a
server. Two ids never share a folder, also on file systems that ignore letter case. The folder itself may be
a symbolic link; below it no link is followed. :func:`folder_of` must not change: users' programs and
earlier fetches rely on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batcher.errors import FolderError
from batcher.files import absolute, reason_of
from batcher.model.submission import FileId
from batcher.output_files import check_target, renamed_when_whole

INDEX = "pictures.csv"
"""The index in the folder: it names the picture in each file."""

LONGEST = 120
"""The longest name of a folder; with the files in it, the path fits every file system."""

_DIGEST = 32
_AS_IT_IS = re.compile(rb"[a-z0-9._-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
"""Names that are devices on some systems, with any text after the first dot."""
_HALF_ESCAPE = re.compile(r"%[0-9A-F]?$")


def folder_of(file_id: FileId, ordinal: int = 1) -> str:
    """Return the folder of a recording's pictures: its escaped id.

    Only small letters, digits and ``._-`` are not escaped.

    Unescaped as a part of a URL it is the id again. An id that is too long becomes ``~`` and a digest at
    the end.

    Args:
        file_id: any text.
        ordinal: the number of the recording's submission, from 1; each submission has a folder of its own.
    """
    name = "".join(map(_escaped, file_id.encode("utf-8", "surrogatepass")))
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if name.endswith("."):
        name = f"{name[:-1]}%2E"
    if _RESERVED.match(name) or name.startswith(INDEX):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > LONGEST:
        digest = hashlib.sha256(file_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        name = f"{_HALF_ESCAPE.sub('', name[: LONGEST - _DIGEST - 1])}~{digest}"
    return name if ordinal == 1 else f"{name}+{ordinal:d}"


def name_of(number: int, offset_ms: int | None, extension: str) -> str:
    """Return the file of a picture in the folder of its recording: ``0002-2500ms.jpg``, ``0002.jpg``."""
    offset = "" if offset_ms is None else f"-{offset_ms:d}ms"
    return f"{number:04d}{offset}.{extension}"


def free_name(folder: Path, name: str, not_under: str | None = None) -> str:
    """Return the name of a recording's folder, with ``+1`` appended if something else has the name.

    Args:
        folder: for all pictures.
        name: from :func:`folder_of`, which never ends like this.
        not_under: a prefix of names that belong to the ledger, whether such files exist yet or not.
    """
    if not_under and name.startswith(not_under.lower()):
        return f"{name}+1"
    try:
        taken = not stat.S_ISDIR((folder / name).lstat().st_mode)
    except OSError:
        taken = False
    return f"{name}+1" if taken else name


def is_kept(folder: Path, file: str | None, n_bytes: int | None) -> bool:
    """Return whether the file of a picture exists with the recorded size."""
    try:
        if file is None or not stat.S_ISDIR((folder / file).parent.lstat().st_mode):
            return False
        found = (folder / file).lstat()
        return stat.S_ISREG(found.st_mode) and found.st_size == n_bytes
    except OSError:
        return False


def folders_in(folder: Path) -> set[str]:
    """Return the names of all folders of recordings.

    Raises:
        FolderError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def ensure_folder(folder: Path) -> None:
    """Create the folder if it does not exist.

    Raises:
        FolderError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def keep(folder: Path, file: str, body: bytes) -> None:
    """Write a picture to its file, whole or not at all.

    Raises:
        FolderError: it cannot be written; nothing of it is left.
    """
    name, _, place = file.partition("/")
    check_target(folder / file, "--output")
    try:
        with _entered(folder) as top:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=top)
            try:
                with _entered(name, os.O_NOFOLLOW, top) as inside:
                    _put(inside, place, body)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=top)  # succeeds if nothing else is in it
                raise
    except OSError as exc:
        raise _unusable(folder, exc, f" ({file})") from exc


def _put(inside: int, place: str, body: bytes) -> None:
    """Write a file whole or not at all, in an open folder."""
    beside = f".{place}.part"  # the same name each time, so that the file of a killed fetch is replaced
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=inside)
    with renamed_when_whole(beside, place, folder=inside) as opened:
        opened.write(body)


@contextmanager
def _entered(folder: Path | str, flags: int = 0, within: int | None = None) -> Iterator[int]:
    """Open a folder: operations on the descriptor stay in it, even if its name is changed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _escaped(byte: int) -> str:
    return chr(byte) if _AS_IT_IS.match(bytes([byte])) else f"%{byte:02X}"


def _unusable(folder: Path, exc: OSError, file: str = "") -> FolderError:
    return FolderError(
        f"{absolute(folder)}: pictures cannot be written here{file}: {reason_of(exc, folder, to='write')}. "
        "No file is left incomplete: run the same command again to resume"
    )
