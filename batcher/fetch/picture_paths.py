"""Where a picture is kept: folders named by recordings, files by numbers, each there whole or not at all.

Between the ids that the ledger holds and the file system. No name ever comes from what a server says. Two ids
never share a folder, on file systems that tell no capitals from small letters either. The folder itself may
be a symbolic link; below it none is followed.
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
from batcher.model.submission import FileId
from batcher.output_files import check_target, renamed_when_whole

INDEX = "pictures.csv"
"""The file in the folder that says which file is which picture."""

LONGEST = 120
"""Letters of a folder's name: with the files in it, it fits everywhere."""

_DIGEST = 32
_AS_IT_IS = re.compile(rb"[a-z0-9._-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
"""Names that are devices on some systems, whatever follows their first dot."""
_HALF_ESCAPE = re.compile(r"%[0-9A-F]?$")


def folder_of(file_id: FileId, ordinal: int = 1) -> str:
    """The folder of a recording's pictures: its id, with all but small letters, digits and ``._-`` escaped.

    Unescaped as a part of a URL it is the id again; one that is too long ends in ``~`` and a digest instead.

    Args:
        file_id: any text.
        ordinal: which of the recording's submissions this is, from 1; each has a folder of its own.
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
    """The file of a picture in the folder of its recording: ``0002-2500ms.jpg``, ``0002.jpg``."""
    offset = "" if offset_ms is None else f"-{offset_ms:d}ms"
    return f"{number:04d}{offset}.{extension}"


def free_name(folder: Path, name: str, not_under: str | None = None) -> str:
    """The name of a recording's folder; ``+1`` is appended to one that something else has.

    Args:
        folder: for all pictures.
        name: from :func:`folder_of`, which never ends so.
        not_under: names that begin with this belong to somebody else, whether they are there yet or not.
    """
    if not_under and name.startswith(not_under.lower()):
        return f"{name}+1"
    try:
        taken = not stat.S_ISDIR((folder / name).lstat().st_mode)
    except OSError:
        taken = False
    return f"{name}+1" if taken else name


def is_kept(folder: Path, file: str | None, n_bytes: int | None) -> bool:
    """Whether a picture that was kept is still there, as large as it was."""
    try:
        if file is None or not stat.S_ISDIR((folder / file).parent.lstat().st_mode):
            return False
        found = (folder / file).lstat()
        return stat.S_ISREG(found.st_mode) and found.st_size == n_bytes
    except OSError:
        return False


def folders_in(folder: Path) -> set[str]:
    """The names of all folders of recordings that are there.

    Raises:
        FolderError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def made(folder: Path) -> None:
    """See to it that there is a folder.

    Raises:
        FolderError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def keep(folder: Path, file: str, body: bytes) -> None:
    """Write a picture beside its place, then put it there.

    Raises:
        FolderError: it cannot be written; nothing of it stays behind.
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
                    os.rmdir(name, dir_fd=top)  # goes when there is nothing else in it
                raise
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def _put(inside: int, place: str, body: bytes) -> None:
    """Write a file whole or not at all, in an open folder."""
    beside = f".{place}.part"  # the same each time: what a killed fetch leaves is gone
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=inside)
    with renamed_when_whole(beside, place, folder=inside) as opened:
        opened.write(body)


@contextmanager
def _entered(folder: Path | str, flags: int = 0, within: int | None = None) -> Iterator[int]:
    """A folder as a descriptor: what is done through it happens there, whatever its name comes to mean."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _escaped(byte: int) -> str:
    return chr(byte) if _AS_IT_IS.match(bytes([byte])) else f"%{byte:02X}"


def _unusable(folder: Path, exc: OSError) -> FolderError:
    return FolderError(
        f"{folder}: pictures cannot be kept here: {exc.strerror or exc}. Nothing is left half written; "
        "correct that (free some space, say), then run the same command again: it goes on where it ended"
    )
