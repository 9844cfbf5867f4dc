"""A folder of media files as the recordings of the sandbox.

The catalogue that `search_media` and `tasks` use instead of the made-up one. It reads the folder once, when
the sandbox is created: every file that PyAV can open, or whose name is that of a recording, is listed with
its real duration and picture size. It never follows a link out of the folder.

The service's name of a file follows from its path within the folder, `a/b.mp4`, and is stable:

* Huawei and Ws: `/record/a/b.mp4`.
* Tencent: 19 digits, `1` to `8` and 18 more, from the SHA-256 of the path (as UTF-8) taken as a number.
"""

from __future__ import annotations

import mimetypes
from bisect import bisect_left
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from .recordings import SandboxRecording

_LOWEST, _SPAN = 10**18, 8 * 10**18


class MediaPackageMissing(ValueError):
    """A package that reads media files is not installed."""


class MediaFolder:
    """The catalogue of a folder."""

    def __init__(self, folder: Path) -> None:
        """Read every file.

        Raises:
            MediaPackageMissing: PyAV or Pillow is not installed.
            ValueError: there is no such folder.
        """
        try:
            import av  # noqa: F401, PLC0415, RUF100 - imported here for an immediate message
            import PIL  # noqa: F401, PLC0415, RUF100
        except ImportError as exc:
            raise MediaPackageMissing(f"media needs PyAV and Pillow ({exc})") from exc
        if not folder.is_dir():
            raise ValueError(f"media {folder}: there is no such folder. Give a folder with recordings.")
        listed = [one for path in _files(folder) if (one := _recording(folder, path)) is not None]
        self._by_creation = sorted(listed, key=lambda one: (one.created_s, one.key))
        self._by_key = sorted(listed, key=lambda one: one.key)
        self._places = {one.file_id: place for place, one in enumerate(self._by_creation)}
        self.count = len(listed)

    def at(self, place: int) -> SandboxRecording:
        """Return the recording at a place in the order of creation."""
        return self._by_creation[place]

    def place_of(self, file_id: str) -> int | None:
        """Return the place of Tencent's id in the order of creation."""
        return self._places.get(file_id)

    def with_key_at(self, place: int) -> SandboxRecording:
        """Return the recording at a place in the order of keys."""
        return self._by_key[place]

    def stream_and_name(self, place: int) -> tuple[str, str]:
        """Return stream and name: both are derived from the file's name."""
        return self._by_creation[place].stream_id, self._by_creation[place].name

    def find(self, vendor: str, file_id: str) -> SandboxRecording | None:
        """Return a vendor's recording by its file id."""
        if vendor == "Tencent":
            place = self._places.get(file_id)
            return None if place is None else self._by_creation[place]
        place = bisect_left(self._by_key, file_id, key=lambda one: one.key)
        return next((one for one in self._by_key[place : place + 1] if one.key == file_id), None)

    def arrive(self) -> None:
        """Do nothing: the folder does not change."""


def tencent_id(path: str) -> str:
    """Return Tencent's id of a path within the folder."""
    number = int.from_bytes(sha256(path.encode("utf-8", "surrogateescape")).digest(), "big")
    return str(_LOWEST + number % _SPAN)


def _files(folder: Path) -> list[Path]:
    root = folder.resolve()
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.resolve().is_relative_to(root)
    )


def _recording(folder: Path, path: Path) -> SandboxRecording | None:
    """Return the recording in a file; None if it has neither video nor sound."""
    inside = path.relative_to(folder).as_posix()
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    measured = _measured(path)
    if measured is None and kind not in ("video", "audio"):
        return None
    stat = path.stat()
    listed = SandboxRecording(
        file_id=tencent_id(inside),
        key=f"/record/{inside}",
        name=path.name,
        stream_id=path.stem,
        created_s=int(stat.st_mtime),
        category="Audio" if kind == "audio" else "Video",
        status="Normal",
        storage_class="STANDARD",
        container=path.suffix.lstrip(".").lower(),
        duration_s=0.0,
        width=0,
        height=0,
        size_bytes=stat.st_size,
        url=f"https://recordings.example/record/{quote(inside)}",
        renditions=0,
        path=path,
    )
    if measured is None:
        return listed  # a service also lists files that cannot be opened
    duration_s, width, height = measured
    category = "Video" if width else "Audio"
    return replace(listed, category=category, duration_s=duration_s, width=width, height=height, renditions=1)


def _measured(path: Path) -> tuple[float, int, int] | None:
    """Return duration, width and height; None if the file has neither video nor sound."""
    import av  # noqa: PLC0415, RUF100

    from .snapshot_taker import duration_of  # noqa: PLC0415, RUF100

    try:
        with av.open(str(path)) as container:
            if not container.streams.video and not container.streams.audio:
                return None
            duration_s = duration_of(container)
            if not duration_s:
                return None
            video = container.streams.video
            return duration_s, video[0].width if video else 0, video[0].height if video else 0
    except (av.error.FFmpegError, OSError, ValueError):
        return None
