"""Recordings inside one object: ``{"recordings": [{"file_id": …}, …], "total": 2}``, or plain ids in it.

Called by :mod:`batcher.manifest.formats.vendor_json` for an object that stands alone in a JSON manifest and
has no file id itself. Its one array of objects with file ids is the manifest, however deep it is. Without
one, an array of texts is, if its name says that they are file ids: ``{"errors": ["not found"]}`` is an answer
without recordings. Of several such arrays none is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from batcher.manifest.columns import KnownColumn, meaning, no_file_id
from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import JsonValue, Members, Value, element_lines

ID_LISTS = frozenset(
    (
        *("recordings", "recording", "records", "record", "files", "fileids", "fileidlist", "idlist", "ids"),
        *("keys", "keylist", "objects", "obsobjects", "items", "list", "data", "results", "result", "rows"),
        *("media", "medias", "video", "videos", "manifest", "contents"),
    )
)
"""The names of arrays that can hold plain ids; case, ``_``, ``-`` and blanks do not count."""
MAX_DEPTH = 8
_NAMED_ARRAYS = 5

_Path = tuple[str | int, ...]


class UnclearArrays(Exception):
    """An object around arrays, and which one holds the recordings is not clear; holds its line and the
    reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@lru_cache(4096)
def names_id(name: str) -> bool:
    """Whether a name in an object means the file id."""
    return meaning(name) is KnownColumn.FILE_ID


def wrapped_items(found: JsonValue, members: Members) -> list[tuple[int, Value]] | None:
    """Return the elements of the only array of recordings in an object, each with its line.

    None when the object has no such array, and is read as a recording.

    Raises:
        UnclearArrays: it has several, or only arrays of texts that may be something else.
    """
    if any(names_id(name) for name, _ in members):
        return None
    arrays = list(_arrays(members, ()))
    holding = [(path, array) for path, array in arrays if any(map(_is_recording, array))]
    if not holding and len(arrays) == 1 and not arrays[0][1]:
        return []
    if not holding:
        texts = [(path, array) for path, array in arrays if _is_list_of_texts(path, array)]
        holding = [(path, array) for path, array in texts if _plain(path) in ID_LISTS]
        if texts and not holding:
            names = [name for name, _ in members]
            raise UnclearArrays(
                found.line,
                f"{no_file_id(names)}. If the texts in {_named(texts)} are file ids, call that recordings",
            )
    if not holding:
        return None
    if len(holding) > 1:
        raise UnclearArrays(
            found.line,
            f"{len(holding)} arrays hold recordings: {_named(holding)}. Save the one to load as a file",
        )
    path, array = holding[0]
    return list(zip(element_lines(found, path) or [found.line] * len(array), array, strict=True))


def _arrays(value: Value, path: _Path) -> Iterator[tuple[_Path, list[Value]]]:
    """Yield the arrays in an object, and in objects in it, but not those in arrays."""
    if isinstance(value, list):
        yield path, value
    elif isinstance(value, tuple) and len(path) < MAX_DEPTH:
        for name, member in value:
            yield from _arrays(member, (*path, name))


def _is_recording(value: Value) -> bool:
    return isinstance(value, tuple) and any(names_id(name) for name, _ in value)


def _is_list_of_texts(path: _Path, array: list[Value]) -> bool:
    """Whether an array holds texts or whole numbers, no objects, and is no parameter such as offsets."""
    if meaning(str(path[-1])) is not None or any(isinstance(value, tuple | list) for value in array):
        return False
    return any(isinstance(value, str) for value in array)


def _plain(path: _Path) -> str:
    """Return the name of an array without case, blanks, ``_`` and ``-``."""
    return re.sub(r"[\s_-]+", "", str(path[-1])).lower()


def _named(arrays: list[tuple[_Path, list[Value]]]) -> str:
    """Return the names of arrays, as a message lists them."""
    return ", ".join(shown(".".join(map(str, path)), limit=40) for path, _ in arrays[:_NAMED_ARRAYS])
