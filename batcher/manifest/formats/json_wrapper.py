"""Recordings inside one object: ``{"recordings": [{"file_id": …}, …], "total": 2}``.

Called by :mod:`batcher.manifest.formats.vendor_json` for an object that stands alone in a JSON manifest and
has no file id itself. Its one array of objects with file ids is the manifest, however deep it is. Of several
such arrays none is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from batcher.manifest.columns import KnownColumn, meaning
from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import JsonValue, Members, Value, element_lines

MAX_DEPTH = 8
_NAMED_ARRAYS = 5

_Path = tuple[str | int, ...]


class SeveralArrays(Exception):
    """An object around several arrays of recordings; holds its line and the reason."""

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
        SeveralArrays: it has several.
    """
    if any(names_id(name) for name, _ in members):
        return None
    arrays = list(_arrays(members, ()))
    holding = [(path, array) for path, array in arrays if any(map(_is_recording, array))]
    if not holding and len(arrays) == 1 and not arrays[0][1]:
        return []
    if not holding:
        return None
    if len(holding) > 1:
        named = ", ".join(shown(_name(path), limit=40) for path, _ in holding[:_NAMED_ARRAYS])
        raise SeveralArrays(
            found.line,
            f"{len(holding)} arrays hold recordings: {named}. Save the one to load as a file",
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


def _name(path: _Path) -> str:
    return ".".join(map(str, path))
