"""SearchMedia: a search as query parameters, an answer as a page of recordings. No I/O.

Called by :mod:`batcher.zego.client`.

Source: ZEGO server API, "Search media information" (SearchMedia).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from batcher.model.submission import Archive, FileId, Recording
from batcher.zego.wire import Query, id_of, integer_of, parsed_body, parts_of, text_of

MAX_BODY_BYTES = 16 << 20
"""The largest answer: a page of a thousand recordings with long addresses is longer than any other answer."""

PREFIX_BYTES = 20
"""The longest ``NamePrefix``."""

IDS_PER_SEARCH = 10
"""The most ids in one call."""

ID_CHARS = 40
"""The longest id in a call."""

MOST_KEYS = 1_000
"""The most recordings on one page of Huawei and Ws."""

MAX_ADDRESS_CHARS = 8_000

_ORIGINAL = 0
"""The ``Definition`` of the recording itself in its ``TranscodeSet``."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search, and the page of its results.

    Pages of Tencent's recordings are numbered; those of Huawei and Ws follow a marker.
    """

    archive: Archive
    prefix: str = ""
    """The beginning of the names, at most 20 bytes."""
    since_s: int | None = None
    """Range of creation in Unix seconds; Tencent only."""
    until_s: int | None = None
    file_ids: tuple[FileId, ...] = ()
    """At most ten, of at most 40 characters; Tencent only."""
    page: int = 0
    page_size: int = 10
    marker: str = ""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of recordings."""

    recordings: tuple[Recording, ...]
    total: int = 0
    """The number of all recordings found, capped at 5,000; Tencent only."""
    next_marker: str = ""
    unreadable: int = 0
    """The number of items without a readable id."""


def search_media(wanted: Search) -> Query:
    """Return the parameters of one SearchMedia call without the public parameters."""
    query = [("Action", "SearchMedia"), ("Vendor", wanted.archive.value)]
    if wanted.prefix:
        query.append(("NamePrefix", wanted.prefix))
    if wanted.archive is not Archive.TENCENT:
        return [*query, ("Marker", wanted.marker), ("MaxKeys", str(MOST_KEYS))]
    if wanted.since_s is not None:
        query.append(("StartTime", str(wanted.since_s)))
    if wanted.until_s is not None:
        query.append(("EndTime", str(wanted.until_s)))
    query += [("FileId[]", one) for one in wanted.file_ids]
    return [*query, ("PageNumber", str(wanted.page)), ("PageSize", str(wanted.page_size))]


def read_page(body: bytes, archive: Archive) -> SearchPage | None:
    """Read a successful answer; None if it has no part of that archive.

    Args:
        body: the body of an answer with code 0.
        archive: the archive whose part of ``Data`` is read.
    """
    parts = parts_of(parsed_body(body).get("Data"), archive)
    if not any({"MediaInfoSet", "Keys", "TotalCount"} & part.keys() for part in parts):
        return None
    items = [item for part in parts for item in _items(part)]
    recordings = [one for item in items if (one := _recording(item, archive)) is not None]
    return SearchPage(
        tuple(recordings),
        max(max(integer_of(part.get("TotalCount")) or 0 for part in parts), 0),
        next((marker for part in parts if (marker := _address(part.get("NextMarker")))), ""),
        len(items) - len(recordings),
    )


def fitting_prefix(prefix: str) -> str:
    """Return the part of a prefix that the service accepts; the caller must compare longer ones itself."""
    return prefix.encode()[:PREFIX_BYTES].decode(errors="ignore")


def _items(part: Mapping[str, object]) -> list[object]:
    listed = part.get("MediaInfoSet") or part.get("Keys")
    return listed if isinstance(listed, list) else []


def _recording(item: object, archive: Archive) -> Recording | None:
    if not isinstance(item, dict):
        return None
    return _of_tencent(item) if archive is Archive.TENCENT else _of_keys(item, archive)


def _of_tencent(item: Mapping[str, object]) -> Recording | None:
    if not (file_id := id_of(item.get("FileId"))):
        return None
    basic = item.get("BasicInfo")
    known: Mapping[str, object] = basic if isinstance(basic, dict) else {}
    original = next(_transcodes(item.get("TranscodeInfo")), {})
    created = text_of(known.get("CreateTime")) or ""
    return Recording(
        FileId(file_id),
        Archive.TENCENT,
        text_of(known.get("Name")) or "",
        created,
        _time(created),
        _seconds(original.get("Duration")),
        integer_of(original.get("Size")),
        _address(known.get("MediaUrl")),
        text_of(known.get("Category")) or "",
        text_of(known.get("Status")) or "",
        text_of(known.get("StorageClass")) or "",
    )


def _transcodes(info: object) -> Iterator[Mapping[str, object]]:
    """Return the renditions of a recording that have a length; the recording itself comes first."""
    listed = info.get("TranscodeSet") if isinstance(info, dict) else None
    made = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    yield from sorted(
        (one for one in made if _seconds(one.get("Duration")) is not None),
        key=lambda one: integer_of(one.get("Definition")) != _ORIGINAL,
    )


def _of_keys(item: Mapping[str, object], archive: Archive) -> Recording | None:
    if not (key := _address(item.get("Key"))) or key != item["Key"]:
        return None
    modified = text_of(item.get("LastModified")) or ""
    return Recording(
        FileId(key),
        archive,
        key.rpartition("/")[2],
        modified,
        _time(modified),
        size_bytes=integer_of(item.get("Size")),
        url=_address(item.get("MediaUrl")),
    )


def _address(value: object) -> str:
    """Return an address, a marker or a key unchanged; None if it is unreadable or too long."""
    if not isinstance(value, str) or len(value) > MAX_ADDRESS_CHARS or "\0" in value:
        return ""
    return value.encode("utf-8", "replace").decode()


def _time(text: str) -> datetime | None:
    """Read a time in ISO 8601 or in mail format; without a zone it is UTC. None for anything else."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < math.inf else None
