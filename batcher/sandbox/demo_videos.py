"""Sample videos: short moving test pictures that show their own time, for the demo and for tests.

Used by `batcher demo` and by tests, which serve them with `SandboxSettings.media`. Needs PyAV and Pillow.

Each picture shows its time twice: as digits for people, and for programs as a strip of black and white
squares along the lower edge, which survives JPEG and scaling. So a test can read from a snapshot at which
time it was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import pi, sin
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import OutputContainer
    from PIL.Image import Image

WIDTH, HEIGHT = 320, 180
FRAMES_PER_S = 25
_TICKS_PER_S = 1000
_SOUND_HZ, _TONE_HZ = 16_000, 440

# The strip: white, black, 16 squares of the time in frames of 1/100 s, 4 of their sum, black, white.
SQUARE = 12
BITS, SUM_BITS = 16, 4
GUARDS = 2
LEFT, TOP = (WIDTH - SQUARE * (BITS + SUM_BITS + 2 * GUARDS)) // 2, HEIGHT - 2 * SQUARE
# One unit of the strip is 10 ms, so that 16 squares reach eleven minutes.
UNIT_MS = 10


@dataclass(frozen=True, slots=True)
class _Sample:
    """One video: its name, the times of its frames, and its other contents."""

    file: str
    times_ms: tuple[int, ...]
    lasts_ms: int
    sound: bool = False
    hue: int = 0


def make_videos(folder: Path) -> dict[str, Path]:
    """Make the sample videos in a folder, which is created if needed.

    Returns:
        The files: `moving` (6 s, with sound), `silent` (4 s), `variable` (5 s, frames 40 to 400 ms apart),
        `truncated` (cut in the middle, so that it cannot be opened) and `audio` (sound only).
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = {
        "moving": _Sample("lesson-1.mp4", _evenly(6000), 6000, sound=True),
        "silent": _Sample("lesson-2.mp4", _evenly(4000), 4000, hue=90),
        "variable": _Sample("lesson-3.mp4", tuple(_unevenly(5000)), 5000, hue=180),
        "truncated": _Sample("broken-off.mp4", _evenly(3000), 3000, hue=270),
    }
    made = {}
    for name, sample in samples.items():
        made[name] = folder / sample.file
        _write(made[name], sample)
    whole = made["truncated"].read_bytes()
    made["truncated"].write_bytes(whole[: len(whole) // 2])
    made["audio"] = folder / "only-sound.m4a"
    _write(made["audio"], _Sample("", (), 3000, sound=True))
    return made


def strip(at_ms: int) -> list[bool]:
    """Return the squares of a time, from left to right; True is white."""
    units = at_ms // UNIT_MS
    bits = [bool(units >> place & 1) for place in reversed(range(BITS))]
    total = sum(bits) % 2**SUM_BITS
    sums = [bool(total >> place & 1) for place in reversed(range(SUM_BITS))]
    return [True, False, *bits, *sums, False, True]


def _evenly(lasts_ms: int) -> tuple[int, ...]:
    return tuple(range(0, lasts_ms, 1000 // FRAMES_PER_S))


def _unevenly(lasts_ms: int) -> Iterator[int]:
    at_ms, number = 0, 0
    while at_ms < lasts_ms:
        yield at_ms
        at_ms += (40, 40, 80, 120, 400, 200)[number % 6]
        number += 1


def _write(path: Path, sample: _Sample) -> None:
    import av  # noqa: PLC0415, RUF100 - an extra, and slow to import

    with av.open(str(path), "w") as container:
        # Every stream must exist before the first packet is written.
        picture = _picture_writer(container, sample) if sample.times_ms else None
        sound = _sound_writer(container, sample.lasts_ms) if sample.sound else None
        for write in (picture, sound):
            if write is not None:
                write()


def _picture_writer(container: OutputContainer, sample: _Sample) -> Callable[[], None]:
    """Return a function that writes the pictures."""
    from av import VideoFrame  # noqa: PLC0415, RUF100

    stream = container.add_stream("mpeg4", rate=FRAMES_PER_S)
    stream.width, stream.height = WIDTH, HEIGHT
    stream.pix_fmt, stream.bit_rate = "yuv420p", 1_200_000
    stream.codec_context.time_base = stream.time_base = Fraction(1, _TICKS_PER_S)

    def write() -> None:
        for at_ms in sample.times_ms:
            frame = VideoFrame.from_image(_drawn(at_ms, sample.hue))  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
            frame.pts, frame.time_base = at_ms, Fraction(1, _TICKS_PER_S)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


def _sound_writer(container: OutputContainer, lasts_ms: int) -> Callable[[], None]:
    """Return a function that writes a soft tone."""
    from av import AudioFrame  # noqa: PLC0415, RUF100

    stream = container.add_stream("aac", rate=_SOUND_HZ)
    stream.layout = "mono"

    def write() -> None:
        portion = 1024
        for start in range(0, lasts_ms * _SOUND_HZ // 1000, portion):
            levels = (sin(2 * pi * _TONE_HZ * (start + n) / _SOUND_HZ) * 0.1 for n in range(portion))
            frame = AudioFrame("fltp", "mono", portion)
            frame.planes[0].update(pack(f"{portion}f", *levels))
            frame.sample_rate, frame.pts = _SOUND_HZ, start
            frame.time_base = Fraction(1, _SOUND_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


def _drawn(at_ms: int, hue: int) -> Image:
    """Draw the picture of one time: a ball that moves over bars of colour, digits, and the strip."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415, RUF100

    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    for bar in range(8):
        left = bar * WIDTH // 8
        draw.rectangle((left, 0, left + WIDTH // 8, HEIGHT), f"hsl({(hue + bar * 30) % 360}, 55%, 45%)")
    x, y = at_ms * 60 // 1000 % WIDTH, 110 + round(20 * sin(at_ms / 400))
    draw.ellipse((x - 14, y - 14, x + 14, y + 14), "white", "black")
    seconds, thousandths = divmod(at_ms, 1000)
    draw.rectangle((70, 18, 250, 68), "black")
    text = f"{seconds // 60:02d}:{seconds % 60:02d}.{thousandths:03d}"
    draw.text((82, 24), text, "white", ImageFont.load_default(34))
    for place, white in enumerate(strip(at_ms)):
        corner = LEFT + place * SQUARE
        draw.rectangle((corner, TOP, corner + SQUARE - 1, TOP + SQUARE - 1), "white" if white else "black")
    return image
