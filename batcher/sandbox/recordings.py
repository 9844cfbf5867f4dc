"""The recordings of the sandbox, made up by rule.

`search_media` pages through a catalogue, `tasks` asks it for the duration of a recording; `media` has the
catalogue of a folder. A made-up catalogue is arithmetic: a recording is computed from its place whenever it
is needed, so that a million recordings take no memory.

The rule, by the place `i` of a recording in the order of creation:

* Creation is spread evenly over the span, in whole seconds; every fourth group of three shares its second.
* Tencent's id has 19 digits: `528589070` and ten that look random and are all different.
* Huawei's and Ws' key is `/record/2026-11-23/06-10-48-000000042.mp4`: when it was created (UTC), and `i`.
* The name is `class-0042 000000042`: stream (`i` modulo 1,000) and `i`.
* `i` modulo 100 is 13: forbidden. `i` modulo 50 is 7: audio without picture. `i` modulo 500 is 11: an
  image.
* `i` modulo 40 is 17: archived. `i` modulo 200 is 3: not transcoded yet. `i` modulo 6 is 4: transcoded
  twice.
* It lasts from 2.04 s to about two hours; every ninth is shorter than 10 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from .settings import RecordingSettings

_SPREAD, _DIGITS = 7_393_913_119, 10**10
_UNSPREAD = pow(_SPREAD, -1, _DIGITS)
_HEAD = "528589070"
_TENCENT = re.compile(rf"{_HEAD}([0-9]{{10}})")
_KEY = re.compile(r"/record/[0-9-]{10}/[0-9-]{8}-([0-9]{9,})\.(?:mp4|m4a|jpg)")
_CONTAINERS = {"Video": "mp4", "Audio": "m4a", "Image": "jpg"}


@dataclass(frozen=True, slots=True)
class SandboxRecording:
    """One file that the service keeps."""

    file_id: str
    """Tencent's name for it."""
    key: str
    """Huawei's and Ws' name for it."""
    name: str
    stream_id: str
    created_s: int
    """Unix seconds."""
    category: str
    status: str
    storage_class: str
    container: str
    duration_s: float
    width: int
    height: int
    size_bytes: int
    url: str
    renditions: int = 1
    """Entries of its TranscodeSet, the original among them."""
    path: Path | None = None
    """The path of the file, if there is one."""


class Catalogue(Protocol):
    """All recordings, in the order of creation and in the order of their keys."""

    count: int

    def at(self, place: int) -> SandboxRecording:
        """Return the recording at a place in the order of creation."""

    def place_of(self, file_id: str) -> int | None:
        """Return the place of Tencent's id in the order of creation."""

    def with_key_at(self, place: int) -> SandboxRecording:
        """Return the recording at a place in the order of keys."""

    def stream_and_name(self, place: int) -> tuple[str, str]:
        """Return stream and name at a place in the order of creation."""

    def find(self, vendor: str, file_id: str) -> SandboxRecording | None:
        """Return a vendor's recording by its file id."""

    def arrive(self) -> None:
        """Add the recordings that arrive after each search."""


class MadeUp:
    """The catalogue by rule."""

    def __init__(self, settings: RecordingSettings, seed: int, now_s: float) -> None:
        self.count = settings.count
        self._settings = settings
        self._until_s = int(now_s) if settings.until_s is None else settings.until_s
        self._offset = int(md5(f"{seed} recordings".encode(), usedforsecurity=False).hexdigest(), 16)
        self._crowded = range(settings.count // 2, settings.count // 2 + settings.crowd)
        if self._crowded and self._crowded.stop > settings.count:
            self._crowded = range(settings.count - settings.crowd, settings.count)

    def at(self, place: int) -> SandboxRecording:
        """Compute one recording."""
        stream, name = self.stream_and_name(place)
        category = _category(place)
        archived = place % 40 == 17
        duration_s = 0.0 if category == "Image" else self._duration_s(place)
        seen = category != "Audio"
        return SandboxRecording(
            file_id=self._file_id(place),
            key=self._key(place),
            name=name,
            stream_id=stream,
            created_s=self._created_s(place),
            category=category,
            status="Forbidden" if place % 100 == 13 else "Normal",
            storage_class="ARCHIVE" if archived else "STANDARD",
            container=_CONTAINERS[category],
            duration_s=duration_s,
            width=1280 if seen else 0,
            height=720 if seen else 0,
            size_bytes=180_000 + int(duration_s * 125_000),
            url=f"https://recordings.example{self._key(place)}",
            renditions=0 if place % 200 == 3 else 1 + (place % 6 == 4),
        )

    def _created_s(self, place: int) -> int:
        """Return the creation time of a recording; it never decreases with the place."""
        if place >= self._settings.count:
            return self._until_s  # arrived later
        if place in self._crowded:
            place = self._crowded.start
        if place // 3 % 4 == 0:
            place -= place % 3
        span_s = int(self._settings.span_s)
        return self._until_s - span_s + (place + 1) * span_s // self._settings.count

    def place_of(self, file_id: str) -> int | None:
        """Return the place, computed from Tencent's id."""
        found = _TENCENT.fullmatch(file_id)
        if found is None:
            return None
        place = (int(found[1]) - self._offset) * _UNSPREAD % _DIGITS
        return place if place < self.count else None

    def with_key_at(self, place: int) -> SandboxRecording:
        """Return the recording at a place in the order of keys, which is the order of creation."""
        return self.at(place)

    def _key(self, place: int) -> str:
        """Compute a key; keys sort as the places do."""
        created = datetime.fromtimestamp(self._created_s(place), UTC)
        return f"/record/{created:%Y-%m-%d/%H-%M-%S}-{place:09d}.{_CONTAINERS[_category(place)]}"

    def stream_and_name(self, place: int) -> tuple[str, str]:
        """Compute stream and name."""
        stream = f"class-{place % 1000:04d}"
        return stream, f"{stream} {place:09d}"

    def find(self, vendor: str, file_id: str) -> SandboxRecording | None:
        """Return the recording, computed from the file id."""
        if vendor == "Tencent":
            place = self.place_of(file_id)
            return None if place is None else self.at(place)
        found = _KEY.fullmatch(file_id)
        if found is None or int(found[1]) >= self.count or self._key(int(found[1])) != file_id:
            return None
        return self.at(int(found[1]))

    def arrive(self) -> None:
        """Add the recordings that arrive after each search."""
        self.count += self._settings.arriving

    def _file_id(self, place: int) -> str:
        return f"{_HEAD}{(place * _SPREAD + self._offset) % _DIGITS:010d}"

    @staticmethod
    def _duration_s(place: int) -> float:
        if place % 9 == 5:
            return 2.04 + place % 191 * 0.04
        return 10.0 + place * 617 % 179_993 * 0.04


def _category(place: int) -> str:
    if place % 50 == 7:
        return "Audio"
    return "Image" if place % 500 == 11 else "Video"


UNLISTED_DURATION_S = 60.0
"""The duration of a file that no catalogue lists."""


def unlisted(vendor: str, file_id: str, created_s: int) -> SandboxRecording:
    """Return a made-up recording of a minute that no catalogue lists."""
    return SandboxRecording(
        file_id=file_id if vendor == "Tencent" else "",
        key="" if vendor == "Tencent" else file_id,
        name="unlisted",
        stream_id="unlisted",
        created_s=created_s,
        category="Video",
        status="Normal",
        storage_class="STANDARD",
        container="mp4",
        duration_s=UNLISTED_DURATION_S,
        width=1280,
        height=720,
        size_bytes=7_500_000,
        url=f"https://recordings.example/{quote(file_id.lstrip('/'))}",
    )
