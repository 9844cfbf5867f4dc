"""Where a picture is kept: folders named by recordings, files by numbers, each there whole or not at all.

Between the ids that the ledger holds and the file system. No name ever comes from what a server says. Two ids
never share a folder, on file systems that tell no capitals from small letters either.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path

from batcher.errors import FolderError
from batcher.model.submission import FileId
from batcher.output_files import written_whole

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
    if _RESERVED.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > LONGEST:
        digest = hashlib.sha256(file_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        name = f"{_HALF_ESCAPE.sub('', name[: LONGEST - _DIGEST - 1])}~{digest}"
    return name if ordinal == 1 else f"{name}+{ordinal:d}"


def name_of(number: int, offset_ms: int | None, extension: str) -> str:
    """The file of a picture in the folder of its recording: ``0002-2500ms.jpg``, ``0002.jpg``."""
    offset = "" if offset_ms is None else f"-{offset_ms:d}ms"
    return f"{number:04d}{offset}.{extension}"


def is_kept(folder: Path, file: str | None, n_bytes: int | None) -> bool:
    """Whether a picture that was kept is still there, as large as it was."""
    try:
        return file is not None and (folder / file).stat().st_size == n_bytes
    except OSError:
        return False


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
    place = folder / file
    beside = place.with_name(f".{place.name}.part")  # the same each time: what a killed fetch leaves is gone
    try:
        place.parent.mkdir(exist_ok=True)
        try:
            with written_whole(place, "--output", beside=beside) as opened:
                opened.write(body)
        except BaseException:
            with contextlib.suppress(OSError):
                place.parent.rmdir()  # goes when there is nothing else in it
            raise
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def _escaped(byte: int) -> str:
    return chr(byte) if _AS_IT_IS.match(bytes([byte])) else f"%{byte:02X}"


def _unusable(folder: Path, exc: OSError) -> FolderError:
    return FolderError(
        f"{folder}: pictures cannot be kept here: {exc.strerror or exc}. Nothing is left half written; "
        "correct that (free some space, say), then run the same command again: it goes on where it ended"
    )
