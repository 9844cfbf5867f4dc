"""SearchMedia: the check of a search, and the recordings that it finds.

`service` asks here once a call has passed the gateway and the limit. It pages through a catalogue
(`recordings`). No page holds more than requested, and no search stores more than the places of its results.

Tencent: newest first, pages by number. Huawei and Ws: by key, pages by marker. What the vendor's page
leaves open is set in `RecordingSettings`: the number of the first page, the end of a walk by markers,
whether the second of `EndTime` belongs to the range.

Source: service documentation, "Search media files" (SearchMedia).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5

from .recordings import Catalogue, SandboxRecording
from .settings import RecordingSettings
from .validation import Call
from .variants import PageNumbering, WalkEnd

MOST_FOUND = 5000
MOST_IDS = 10
MOST_ID_CHARS = 40
MOST_PREFIX_BYTES = 20
MOST_KEYS = 1000

Json = dict[str, object]

_INTEGER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The vendor's part of an answer, and the number of recordings in it."""

    data: Json
    listed: int


def search_problem(call: Call, pages: PageNumbering) -> str | None:
    """Return what is wrong with the parameters of a search; None if they are valid."""
    if call.one("Vendor") not in ("Tencent", "Huawei", "Ws"):
        return "Vendor must be Tencent, Huawei or Ws"
    if len(call.one("NamePrefix").encode()) > MOST_PREFIX_BYTES:
        return f"NamePrefix must have {MOST_PREFIX_BYTES} bytes at most"
    return _page_problem(call, pages) if call.one("Vendor") == "Tencent" else _walk_problem(call)


def _page_problem(call: Call, pages: PageNumbering) -> str | None:
    for name in ("StartTime", "EndTime", "PageNumber", "PageSize"):
        if call.given(name) is not None and not _INTEGER.fullmatch(call.one(name)):
            return f"{name} must be a whole number"
    for name in ("FileId", "StreamId"):
        if len(call.each(name)) > MOST_IDS:
            return f"{name} must be given {MOST_IDS} times at most"
    if any(len(file_id) > MOST_ID_CHARS for file_id in call.each("FileId")):
        return f"FileId must have {MOST_ID_CHARS} characters at most"
    number, size = _page(call, pages)
    if size < 1:
        return "PageSize must be above 0"
    if pages is PageNumbering.ONE and number < 1:
        return "PageNumber must be above 0"
    if number * size + size > MOST_FOUND:
        return f"PageNumber * PageSize + PageSize must not exceed {MOST_FOUND}"
    return None


def _walk_problem(call: Call) -> str | None:
    keys = call.given("MaxKeys")
    if keys is not None and not (_INTEGER.fullmatch(keys) and 1 <= int(keys) <= MOST_KEYS):
        return f"MaxKeys must be from 1 to {MOST_KEYS}"
    return None


def _page(call: Call, pages: PageNumbering) -> tuple[int, int]:
    first = 0 if pages is PageNumbering.ZERO else 1
    return int(call.given("PageNumber") or first), int(call.given("PageSize") or 10)


class RecordingSearch:
    """Searches in one catalogue."""

    def __init__(
        self, catalogue: Catalogue, settings: RecordingSettings, uuid: Callable[[str, int], str]
    ) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._uuid = uuid
        self._last: tuple[tuple[object, ...], Sequence[int]] | None = None

    def find(self, call: Call, number: int) -> SearchAnswer:
        """Answer a well-formed search, as request `number`; new recordings may arrive afterwards."""
        vendor = call.one("Vendor")
        found = self._page(call, number) if vendor == "Tencent" else self._walk(call)
        self._catalogue.arrive()
        return found

    def _page(self, call: Call, number: int) -> SearchAnswer:
        page, size = _page(call, self._settings.pages)
        if self._settings.pages is not PageNumbering.ZERO:
            page = max(page, 1) - 1
        places = self._places(call)
        newest = len(places) - 1 - page * size
        items = [
            _tencent_item(self._catalogue.at(places[at]))
            for at in range(newest, newest - size, -1)
            if at >= 0
        ]
        data: Json = {"TotalCount": min(len(places), MOST_FOUND), "MediaInfoSet": items}
        return SearchAnswer(data | {"RequestId": self._uuid("vendor", number)}, len(items))

    def _places(self, call: Call) -> Sequence[int]:
        """Return the places of a search, oldest first; they are kept for the next page of this search."""
        prefix, ids, streams = call.one("NamePrefix"), call.each("FileId"), call.each("StreamId")
        start, end = call.given("StartTime"), call.given("EndTime")
        within = self._within(start, end)
        if not (prefix or ids or streams):
            return within
        asked = (prefix, *ids, None, *streams, within)
        if self._last is None or self._last[0] != asked:
            self._last = (asked, array("L", self._matching(within, prefix, ids, frozenset(streams))))
        return self._last[1]

    def _created_s(self, place: int) -> int:
        return self._catalogue.at(place).created_s

    def _key(self, place: int) -> str:
        return self._catalogue.with_key_at(place).key

    def _within(self, start: str | None, end: str | None) -> range:
        """Return the places whose creation lies between two times."""
        every = range(self._catalogue.count)
        low = bisect_left(every, int(start), key=self._created_s) if start else 0
        if not end:
            return every[low:]
        after = bisect_right if self._settings.end_included else bisect_left
        return every[low : after(every, int(end), key=self._created_s)]

    def _matching(self, within: range, prefix: str, ids: list[str], streams: frozenset[str]) -> Iterator[int]:
        places = self._catalogue.place_of
        among: Sequence[int] = (
            sorted({place for one in ids if (place := places(one)) is not None}) if ids else within
        )
        for place in among:
            stream, name = self._catalogue.stream_and_name(place)
            if place in within and name.startswith(prefix) and (not streams or stream in streams):
                yield place

    def _walk(self, call: Call) -> SearchAnswer:
        """Return the keys after a marker, of those that begin with the prefix."""
        marker, most = call.one("Marker"), int(call.given("MaxKeys") or MOST_KEYS)
        every, key_at = range(self._catalogue.count), self._key
        prefix = f"/{call.one('NamePrefix').lstrip('/')}"
        first = bisect_left(every, prefix, key=key_at)
        beyond = bisect_left(every, True, lo=first, key=lambda place: not key_at(place).startswith(prefix))
        first = max(first, bisect_right(every, marker, key=key_at) if marker else 0)
        places = every[first:beyond][:most]
        items = [_keyed_item(self._catalogue.with_key_at(place)) for place in places]
        following = self._marker_after(marker, places, ended=first + len(places) >= beyond)
        return SearchAnswer({"Keys": items, "NextMarker": following}, len(items))

    def _marker_after(self, marker: str, places: range, *, ended: bool) -> str:
        if places and (not ended or self._settings.walk_end is WalkEnd.EMPTY_PAGE):
            return self._key(places[-1])
        return marker if self._settings.walk_end is WalkEnd.SAME_MARKER else ""


def _tencent_item(recording: SandboxRecording) -> Json:
    created = _iso(recording.created_s)
    return {
        "FileId": recording.file_id,
        "BasicInfo": {
            "Name": recording.name,
            "Description": "",
            "CreateTime": created,
            "UpdateTime": created,
            "ExpireTime": "9999-12-31T23:59:59Z",
            "ClassId": 0,
            "ClassName": "",
            "ClassPath": "",
            "CoverUrl": "",
            "Type": recording.container,
            "Category": recording.category,
            "Status": recording.status,
            "MediaUrl": recording.url,
            "IntranetMediaUrl": recording.url.replace("://", "://intranet.", 1),
            "StorageClass": recording.storage_class,
            "StorageRegion": "ap-guangzhou",
            "Vid": recording.stream_id,
            "TagSet": [],
        },
        "TranscodeInfo": _transcoded(recording),
    }


def _transcoded(recording: SandboxRecording) -> Json | None:
    if recording.category == "Image":
        return None
    return {"TranscodeSet": [_rendition(recording, number) for number in range(recording.renditions)]}


def _rendition(recording: SandboxRecording, number: int) -> Json:
    """Return the original (number 0) or a smaller rendition."""
    shrunk = 2**number
    size = recording.size_bytes // shrunk
    return {
        "Definition": 100_010 * number,
        "Duration": round(recording.duration_s, 3),
        "Width": recording.width // shrunk,
        "Height": recording.height // shrunk,
        "Size": size,
        "Bitrate": int(size * 8 / recording.duration_s) if recording.duration_s else 0,
        "Container": recording.container,
        "Url": recording.url,
    }


def _keyed_item(recording: SandboxRecording) -> Json:
    return {
        "Key": recording.key,
        "LastModified": _iso(recording.created_s),
        "Size": recording.size_bytes,
        "ETag": f'"{md5(recording.key.encode(), usedforsecurity=False).hexdigest()}"',
        "MediaUrl": recording.url,
    }


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
