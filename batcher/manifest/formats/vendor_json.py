"""Recordings in JSON: objects of a manifest, answers of SearchMedia, and callbacks as they are sent.

Called by :mod:`batcher.manifest.formats.json_table` with every JSON value. A value becomes items, each a
recording or a fault; a callback about something else is counted by its name.

Source: service documentation, "SearchMedia" and the callbacks "record", "snapshot" and "compose".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from batcher.manifest.columns import KnownColumn, meaning
from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import (
    JsonValue,
    Members,
    Number,
    Value,
    decode,
    element_lines,
    encode,
)
from batcher.manifest.formats.json_wrapper import names_id, wrapped_items
from batcher.manifest.formats.table import RecordFault, lost_digits, whole

Cells = list[tuple[str, str]]
"""Texts by the names that the document gives them."""

_UNFIT = re.compile("[\0\ud800-\udfff]")
_VENDOR_NAMES = frozenset({"event", "extra_params", "Code", "Data"})
"""Names that decide what a document is."""
_SETS = {"Tencent": "MediaInfoSet", "Huawei": "Keys", "Ws": "Keys"}
"""The name of each vendor's recordings in an answer of SearchMedia."""

_TENCENT = {
    "name": "Name",
    "created_at": "CreateTime",
    "category": "Category",
    "media_status": "Status",
    "url": "MediaUrl",
    "storage_class": "StorageClass",
}
_ORIGINAL = {"duration": "Duration", "width": "Width", "height": "Height", "size": "Size"}
"""Columns from the set of transcodes; the one with Definition 0 is the recording itself."""
_HUAWEI = {"modified_at": "LastModified", "size": "Size", "etag": "ETag", "url": "MediaUrl"}
_RECORD = {
    "stream_alias": "stream_alias",
    "url": "replay_url",
    "begin_time": "begin_time",
    "end_time": "end_time",
}
_RECORD_EXTRA = {"duration": "Duration", "size": "FileSize", "record_task_id": "TaskId"}
"""Columns that a recording keeps as its own, by their names in the documents."""


class Item(NamedTuple):
    """The content of one row."""

    line: int
    cells: Cells
    fault: RecordFault | None = None


class Recordings:
    """Turns values into items; ``passed_over`` counts callbacks without a new recording."""

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()

    def items(self, found: JsonValue) -> Iterator[Item]:
        """All items of a value."""
        value = found.value
        if found.fault:
            yield _faulty(found.line, found.text, found.fault)
        elif isinstance(value, str):
            yield _fit(_with_id(found.line, KnownColumn.FILE_ID.value, value))
        elif not isinstance(value, tuple):
            yield _faulty(found.line, found.raw, f"is {_kind(value)}; an object or a file id is expected")
        else:
            members = dict(value)
            if len(members) != len(value) and (twice := _known_twice(value)):
                yield _faulty(found.line, found.raw, f"the object has the name {shown(twice)} twice")
            elif _is_callback(members):
                yield from self._callback(found, members)
            elif _is_answer(members):
                yield from _answer(found, members)
            elif found.wrapper and (inner := wrapped_items(found, value)) is not None:
                for line, element in inner:
                    raw = "" if isinstance(element, tuple) else encode(element)
                    yield from self.items(JsonValue(line, element, raw, 0, len(raw)))
            else:
                yield _fit(_object(found.line, value))

    def _callback(self, found: JsonValue, members: dict[str, Value]) -> Iterator[Item]:
        event = text_of(members.get("event"))
        if event != "record":
            self.passed_over[f"{shown(event, limit=30)} callback"] += 1
            return
        extra = members.get("extra_params")
        if isinstance(extra, str):  # forms, and some senders, hold it as text
            try:
                extra = decode(extra) if extra else ()
            except ValueError as exc:
                yield _faulty(found.line, found.raw, f"extra_params {exc}")
                return
        inner = dict(extra) if isinstance(extra, tuple) else {}
        yield _fit(_recorded(found.line, members, inner))


def _known_twice(value: Members) -> str | None:
    """Return a name that an object has twice and that has a meaning; of other names the last value counts."""
    counted = Counter(name for name, _ in value)
    twice = (name for name, n in counted.items() if n > 1)
    return next((name for name in twice if meaning(name) or name in _VENDOR_NAMES), None)


def _is_callback(members: dict[str, Value]) -> bool:
    return "event" in members and ("extra_params" in members or {"nonce", "signature"} <= members.keys())


def _is_answer(members: dict[str, Value]) -> bool:
    if not (isinstance(members.get("Code"), Number) or isinstance(members.get("Data"), tuple)):
        return False
    return not any(names_id(name) for name in members)


# -- single recordings ---------------------------------------------------------------------------


def _object(line: int, value: Members) -> Item:
    """An object whose names are columns."""
    cells = [(name, text_of(member)) for name, member in value]
    fault = next((_id_fault(name, member) for name, member in value if names_id(name)), None)
    return Item(line, cells, fault or (None if any(text for _, text in cells) else whole("holds nothing")))


def _with_id(line: int, name: str, value: Value, vendor: str = "", own: Cells | None = None) -> Item:
    """Return a recording whose id and vendor are known."""
    cells = [(name, text_of(value)), *([(KnownColumn.VENDOR.value, vendor)] if vendor else []), *(own or [])]
    return Item(
        line, cells, _id_fault(name, value) or (None if cells[0][1] else RecordFault(name, "is missing"))
    )


def _id_fault(name: str, value: Value) -> RecordFault | None:
    """Return why a value cannot be an id of any vendor."""
    if isinstance(value, Number):
        return None if value.whole else RecordFault(name, lost_digits(value))
    if value is None or isinstance(value, str):
        return None
    return RecordFault(name, f"is {_kind(value)}, not a file id")


def _recorded(line: int, members: dict[str, Value], inner: dict[str, Value]) -> Item:
    """The recording of a ``record`` callback."""
    own = _named(_RECORD, members) + _named(_RECORD_EXTRA, inner)
    if inner.get("FileID") not in (None, "", "0"):
        return _with_id(line, "FileID", inner["FileID"], "Tencent", own)
    if inner.get("ObsObject") not in (None, ""):
        return _with_id(line, "ObsObject", inner["ObsObject"], "Huawei", own)
    fault = RecordFault(
        KnownColumn.FILE_ID.value, "is missing: extra_params holds neither FileID nor ObsObject"
    )
    return Item(line, own, fault)


# -- answers of SearchMedia ----------------------------------------------------------------------


def _answer(found: JsonValue, members: dict[str, Value]) -> Iterator[Item]:
    """Yield the recordings of one answer; an answer with an error is a fault, an empty page has no items."""
    code = text_of(members.get("Code")) or "0"
    if code != "0":
        message = shown(text_of(members.get("Message"))) or "no message"
        yield _faulty(
            found.line,
            found.raw,
            f"is an answer with code {shown(code, limit=20)} ({message}) and holds no recordings. Ask again",
            column="Code",
        )
        return
    data = members.get("Data")
    parts = dict(data) if isinstance(data, tuple) else {}
    found_any = False
    for vendor, name in _SETS.items():
        for path, part in _parts(parts.get(vendor), ("Data", vendor)):
            items = dict(part).get(name)
            if isinstance(items, list):
                found_any = True
                yield from _media(found, vendor, items, (*path, name))
    if not found_any:
        yield _faulty(
            found.line,
            found.raw,
            "is an answer without recordings: it has none of Data.Tencent.MediaInfoSet, Data.Huawei.Keys and "
            "Data.Ws.Keys",
        )


def _parts(part: Value, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Members]]:
    """Yield a vendor's parts of an answer, an object or an array of objects."""
    if isinstance(part, tuple):
        yield path, part
    elif isinstance(part, list):
        yield from (
            ((*path, number), element) for number, element in enumerate(part) if isinstance(element, tuple)
        )


def _media(found: JsonValue, vendor: str, items: list[Value], path: tuple[str | int, ...]) -> Iterator[Item]:
    lines = element_lines(found, path) or [found.line] * len(items)
    for line, item in zip(lines, items, strict=True):
        if not isinstance(item, tuple):
            yield _faulty(line, encode(item), f"{path[-1]} holds {_kind(item)} where an object is expected")
            continue
        members = dict(item)
        if vendor == "Tencent":
            yield _fit(_with_id(line, "FileId", members.get("FileId"), vendor, _tencent(members)))
        else:
            yield _fit(_with_id(line, "Key", members.get("Key"), vendor, _named(_HUAWEI, members)))


def _tencent(members: dict[str, Value]) -> Cells:
    basic = members.get("BasicInfo")
    known = dict(basic) if isinstance(basic, tuple) else {}
    own = _named(_TENCENT, known)
    transcodes = members.get("TranscodeInfo")
    all_sets = dict(transcodes).get("TranscodeSet") if isinstance(transcodes, tuple) else None
    listed = all_sets if isinstance(all_sets, list) else []
    sets = [dict(members) for members in listed if isinstance(members, tuple)]
    original = next((found for found in sets if text_of(found.get("Definition")) == "0"), {})
    return own + _named(_ORIGINAL, original)


# -- texts ---------------------------------------------------------------------------------------


def text_of(value: Value) -> str:
    """Return a value as a cell: text as it is, a number as written, null as "", anything else as JSON."""
    if isinstance(value, str):
        return str(value)
    return "" if value is None else encode(value)


def _named(names: dict[str, str], members: dict[str, Value]) -> Cells:
    return [(name, text_of(members[theirs])) for name, theirs in names.items() if theirs in members]


def _kind(value: Value) -> str:
    match value:
        case tuple():
            return "an object"
        case list():
            return "an array"
        case Number():
            return "a number"
        case str():
            return "a text"
        case None:
            return "null"
        case _:
            return "true" if value else "false"


def _faulty(line: int, raw: str, reason: str, column: str = "row") -> Item:
    return _fit(Item(line, [(KnownColumn.FILE_ID.value, raw)], RecordFault(column, reason)))


def _fit(item: Item) -> Item:
    """Return the item with text that can be kept: half a character, and NUL, are escaped.

    In a value that has an effect they are a fault.
    """
    if not any(not text.isprintable() and _UNFIT.search(text) for pair in item.cells for text in pair):
        return item
    cells, fault = [], item.fault
    for name, text in item.cells:
        if _UNFIT.search(text) and meaning(name) is not None:
            fault = fault or RecordFault(
                name, f"{shown(text)} holds a NUL or half a character, which is not text"
            )
        cells.append((escaped(name), escaped(text)))
    return Item(item.line, cells, fault)


def escaped(text: str) -> str:
    """Return a text without what no file and no ledger can hold."""
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
