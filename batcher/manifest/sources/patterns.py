"""Which manifests a command names: patterns become the files they match, in an order that does not change.

A crontab's quoted pattern reaches us as it stands, so it is expanded here, as a shell would: ``*``, ``?``,
``[…]``, and ``**`` for folders below. A file that is literally named so is taken as it is.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from batcher.errors import ManifestError
from batcher.manifest.sources.remote import is_url, local_path, matching


def expand(sources: Sequence[str]) -> list[str]:
    """The files, URLs and ``-`` that are meant, in the order named; a pattern's files are sorted.

    One that is named twice, also through a link or by two patterns, is there once, where it comes first.

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


def _expanded(source: str) -> Iterator[str]:
    source = local_path(source) or source
    if is_url(source):
        yield from matching(source)
    elif not glob.has_magic(source) or os.path.lexists(source):
        yield source
    else:
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - pathlib knows no absolute pattern
        files = [name for name in found if not Path(name).is_dir()]
        if not files:
            only = " but folders; /* after it matches what is in them" if found else ""
            raise ManifestError(f"{source}: no file matches this pattern{only}")
        yield from files


def _identity(name: str) -> str:
    """What two names of one thing have in common."""
    return name if name == "-" or is_url(name) else os.path.realpath(name)
