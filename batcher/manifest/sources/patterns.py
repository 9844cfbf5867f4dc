"""Expansion of the manifests that a command names: patterns become the files they match, in a fixed order.

Called by loading, and by commands that read one manifest. A crontab's quoted pattern is not expanded by a
shell, so it is expanded here in the same way: ``*``, ``?``, ``[…]``, and ``**`` for folders below. The name
of an existing file is not expanded, even if it looks like a pattern.
"""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from batcher.errors import ManifestError
from batcher.files import absolute, is_file, is_folder, reason_of
from batcher.manifest.sources.remote import is_url, local_path, matching, stable_url

LOCK_FILE_MARK = "~$"
"""The begin of the name of a file that Excel keeps beside a workbook while it is open."""


def expand(sources: Sequence[str]) -> list[str]:
    """Return the files, URLs and ``-`` that are meant, in the order named; a pattern's files are sorted.

    A file named twice, also through a link or by two patterns, is included once, in its first place.

    Raises:
        ManifestError: a pattern matches no file, or standard input is named twice.
    """
    names = [name for source in sources for name in _expanded(source)]
    if names.count("-") > 1:
        raise ManifestError("-: standard input can be read only once")
    once: dict[str, str] = {}
    for name in names:
        once.setdefault(_identity(name), name)
    return list(once.values())


def ledger_name(source: str) -> str:
    """Return the name of a manifest in the ledger: the absolute path of a file, a URL, or ``-`` for a stream.

    A named pipe is a stream.
    """
    if is_url(source):
        return stable_url(source)
    path = Path(source)
    return str(path.resolve()) if source != "-" and is_file(path) else "-"


def _expanded(source: str) -> Iterator[str]:
    source = local_path(source) or source
    if is_url(source):
        yield from (name for name in matching(source) if name == source or not is_lock_file(name))
    elif not glob.has_magic(source) or os.path.lexists(source):
        yield source
    else:
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - pathlib knows no absolute pattern
        files = [name for name in found if not is_folder(name) and not is_lock_file(name)]
        if not files:
            only = ", only folders. Add /* to match their files" if found else ""
            if any(map(is_lock_file, found)):
                only = ", only lock files of open workbooks"
            raise ManifestError(
                f"{absolute(source)}: {_closed(source) or f'no file matches this pattern{only}'}"
            )
        yield from files


def is_lock_file(name: str) -> bool:
    """Whether a name is that of a file that Excel keeps beside a workbook while it is open."""
    return posixpath.basename(name).startswith(LOCK_FILE_MARK)


def _closed(pattern: str) -> str | None:
    """Return why the folder of a pattern cannot be listed; None when it can, or is part of the pattern."""
    folder = pattern
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)  # noqa: PTH120 - of a text
    try:
        with os.scandir(folder or os.curdir):
            return None
    except FileNotFoundError:
        return None
    except OSError as exc:
        return reason_of(exc, folder, to="read")


def _identity(name: str) -> str:
    """Return a text that is equal for two names of one file."""
    return name if name == "-" or is_url(name) else os.path.realpath(name)
