"""Snapshots of real files: the frame that is visible at a given time, as a JPEG.

`snapshot_worker` calls this in a thread. It is imported only if a folder of media files is served, because
importing PyAV is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from .tasks import Shots

LONGEST_SIDE = 1280
QUALITY = 85
_WORTH_SEEKING_S = 5.0
_MISSING_S = 0.5
"""Less than this may be missing at the end, because containers round."""


class EndsEarlyError(Exception):
    """The file is shorter than its header says."""


def duration_of(container: InputContainer) -> float:
    """Return the duration of a file in seconds; 0 if unknown."""
    if container.duration:
        return container.duration / av.time_base
    for stream in container.streams:
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
    return 0.0


def take(
    path: Path,
    wanted: Callable[[float], list[float]],
    picture: Callable[[int], Path],
    stopped: Callable[[], bool] = lambda: False,
) -> Shots:
    """Take the snapshots of one file.

    Args:
        path: of the file.
        wanted: returns the requested times in seconds, given the duration of the file.
        picture: returns the path of the picture with a number (from 1).
        stopped: called before each picture; True ends the work.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return Shots(problem="the source file has no video stream")
            times_s = wanted(duration_of(container))
            frames = _Frames(container)
            numbers = sorted(range(len(times_s)), key=times_s.__getitem__)  # decoding runs forward
            for number in numbers:
                if stopped():
                    return Shots(problem="the service was stopped")
                _write(frames.at(times_s[number]), picture(number + 1))
            return Shots(tuple(round(at_s * 1000) for at_s in times_s))
    except EndsEarlyError as exc:
        return Shots(problem=str(exc))
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or "it is not a media file"
        return Shots(problem=f"the source file cannot be decoded: {why}")


def _write(frame: VideoFrame, path: Path) -> None:
    image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(path, "JPEG", quality=QUALITY)


class _Frames:
    """The frames of a file, by time; times must not go backwards."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        start = self._stream.start_time or 0
        self._start_s = float(start * self._stream.time_base) if self._stream.time_base else 0.0
        self._duration_s = duration_of(container)
        self._decoded: Iterator[VideoFrame] = container.decode(self._stream)
        self._shown: VideoFrame | None = None
        self._next = next(self._decoded, None)

    def at(self, at_s: float) -> VideoFrame:
        """Return the frame that is visible at a time."""
        if self._next is not None and at_s - self._time_s(self._next) > _WORTH_SEEKING_S:
            self._seek(at_s)
        while self._next is not None and (self._shown is None or self._time_s(self._next) <= at_s + 1e-6):
            self._shown, self._next = self._next, next(self._decoded, None)
        if self._shown is None:
            raise EndsEarlyError("the source file cannot be decoded: no frame is in it")
        if self._next is None:
            self._check_end(at_s, self._shown)
        return self._shown

    def _check_end(self, at_s: float, last: VideoFrame) -> None:
        """Check that the last frame is the end of the file and not of a truncated file."""
        lasts_s = float((last.duration or 0) * (last.time_base or 0))
        end_s = self._time_s(last) + lasts_s
        if at_s > end_s and self._duration_s - end_s > _MISSING_S:
            raise EndsEarlyError(
                "the source file cannot be decoded: "
                f"its header says {self._duration_s:.1f} s and it ends at {end_s:.1f} s"
            )

    def _seek(self, at_s: float) -> None:
        """Continue from the last key frame before a time."""
        target_s = at_s + self._start_s
        time_base = self._stream.time_base
        assert time_base is not None
        self._container.seek(int(target_s / time_base), stream=self._stream, backward=True)
        self._decoded = self._container.decode(self._stream)
        self._shown, self._next = None, next(self._decoded, None)

    def _time_s(self, frame: VideoFrame) -> float:
        return (frame.time or 0.0) - self._start_s
