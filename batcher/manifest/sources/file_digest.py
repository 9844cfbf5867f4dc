"""Detection of an unchanged file, so that it is not read a second time.

Called by loading: an unchanged manifest has been loaded to its end before. Never guesses: the bytes are
compared by a digest, and a file that changes while it is read has no digest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Self

from batcher._version import __version__


class Mark(NamedTuple):
    """Properties of a file of which one changes whenever it is written to or replaced."""

    device: int
    inode: int
    size_bytes: int
    written_at_ns: int
    changed_at_ns: int

    @property
    def content(self) -> tuple[int, ...]:
        """The properties of which one changes with the content; the others change with a new name, too."""
        return self[:4]

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Return the mark of a file; None for a stream, a URL or a missing file."""
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest_of(path: str, read_as: str) -> str | None:
    """Return a digest of a file's bytes and of the way they are read; the version of batcher is part of it.

    Args:
        path: the file.
        read_as: the options that change which rows the bytes give.

    Returns:
        None when it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    except OSError:
        return None
    digest.update(f"\0{__version__}\0{read_as}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
