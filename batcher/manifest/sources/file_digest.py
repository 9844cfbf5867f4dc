"""Whether a file is what it was: while it is read, and since it was last read to its end.

A file that holds what it held need not be read again. Never guesses: bytes are compared by a digest, and a
file that changed while it was looked at has none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Self

from batcher._version import __version__


class Mark(NamedTuple):
    """What changes whenever a file is written to or replaced."""

    device: int
    inode: int
    size_bytes: int
    written_at_ns: int
    changed_at_ns: int

    @classmethod
    def of(cls, path: str) -> Self | None:
        """The mark of a file; None when there is none, as for a stream or an address."""
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest_of(path: str, read_as: str) -> str | None:
    """What a file's bytes come to, and how they are read; by another version they may be read otherwise.

    Args:
        path: the file.
        read_as: everything that makes other rows of the same bytes.

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
