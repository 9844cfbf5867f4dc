"""What a fetched picture turns out to be: whole, one colour all over, black, or no picture.

Between bytes that somebody else has sent and the disk. Every picture is decoded to its last row, since a
picture that was cut off begins like any other. The header is checked first: what it claims decides how much
memory decoding takes. Needs Pillow; reads the formats that thumbnails come in, and none that is too large to
be one.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from batcher.model.task import PictureState

MAX_PIXELS = 40_000_000
"""More than a picture of 8K has; each takes 4 bytes of memory, 16 in WebP."""
MAX_SIDE = 16_384
"""Pixels in a row, and rows: more than any video has. Each row takes memory, however short it is."""
LARGE_PIXELS = 10_000_000
"""Pictures larger than this are decoded one at a time."""
_ROWS = 512
"""Rows that are looked at together: a multiple of ``_BLOCK``."""

BLACK_LEVEL = 24
"""Of 255: black as video has it, and its noise."""
BLANK_RANGE = 10
"""Of 255: by so much one colour differs from itself once JPEG is done with it."""
_BLOCK = 8
"""Pixels each way that are averaged before colours are compared: the noise goes, whatever is drawn stays."""

_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}

_one_large = threading.Lock()

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class PictureVerdict:
    """What a picture is."""

    state: PictureState
    error: str | None = None
    """Why it is broken."""
    extension: str = ""
    """By what it is, not by what anybody calls it."""
    width: int | None = None
    height: int | None = None


def judge(body: bytes) -> PictureVerdict:
    """Decode a picture and look at it; never raises for what is in it."""
    try:
        with Image.open(BytesIO(body), formats=("JPEG", "PNG", "WEBP")) as image:
            extension = _EXTENSIONS.get(image.format or "")
            width, height = image.size
            if extension is None:
                return _broken("it is no JPEG, PNG or WebP image")
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                return _too_large()
            image.verify()
        with _one_large if width * height > LARGE_PIXELS else nullcontext():
            state = _decoded(body)
        return PictureVerdict(state, extension=extension, width=width, height=height)
    except UnidentifiedImageError:
        return _broken("it is empty" if not body else "it is no JPEG, PNG or WebP image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return _too_large()
    except Exception as exc:  # whatever a decoder makes of bytes that anybody can send
        return _broken("it is cut off" if "truncated" in str(exc) else "it cannot be decoded to its end")


def _decoded(body: bytes) -> PictureState:
    """Decode to the last row, and look."""
    with Image.open(BytesIO(body), formats=("JPEG", "PNG", "WEBP")) as image:
        block = max(1, min(_BLOCK, min(image.size) // 2))
        if block == _BLOCK and image.format in ("JPEG", "MPO"):
            # JPEG comes in blocks of that size: their averages alone take a 64th of the memory.
            image.draft(None, (image.width // _BLOCK, image.height // _BLOCK))
            block = 1
        image.load()
        return _look(image, block)


def _look(image: Image.Image, block: int) -> PictureState:
    """Whether there is anything to be seen."""
    bands = [*zip(*_extremes(image, block), strict=True)]  # of each channel, its range in every band of rows
    ranges = [(min(low for low, _ in band), max(high for _, high in band)) for band in bands]
    if all(high <= BLACK_LEVEL for _, high in ranges):
        return PictureState.BLACK
    if all(high - low <= BLANK_RANGE for low, high in ranges):
        return PictureState.BLANK
    return PictureState.WHOLE


def _extremes(image: Image.Image, block: int) -> Iterator[list[tuple[float, float]]]:
    """Least and most of each channel, some rows at a time: a copy of the whole would double its memory."""
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        found = rows.convert("RGB").reduce(block).getextrema()
        yield [pair for pair in found if isinstance(pair, tuple)]


def _broken(error: str) -> PictureVerdict:
    return PictureVerdict(PictureState.BROKEN, error)


def _too_large() -> PictureVerdict:
    most = f"{MAX_PIXELS // 1_000_000} million pixels or {MAX_SIDE:,} in a row or column"
    return _broken(f"it claims to have more than {most}")
