"""The state of a downloaded picture: whole, blank, black or broken.

Called by :mod:`batcher.fetch.fetcher` in a thread, and before a picture is written to disk. Every picture
is decoded to its last row, because a truncated picture begins like any other. The header is checked first,
because the size in it decides how much memory decoding takes; :mod:`batcher.model.picture_limits` has the
limits. Needs Pillow.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from batcher.fetch.picture_parts import excess_of_parts
from batcher.model.picture_limits import FORMATS, TOO_LARGE, excess, memory_bytes
from batcher.model.task import PictureState

LARGE_BYTES = 40_000_000
"""Pictures whose decoding takes more memory are decoded one at a time."""
_ROWS = 512
"""Rows that are examined together: a multiple of ``_BLOCK``."""

BLACK_LEVEL = 24
"""The brightest level, of 255, that still counts as black; video has black at 16, with noise."""
BLANK_RANGE = 10
"""The largest difference, of 255, within one colour after JPEG compression."""
_BLOCK = 8
"""Pixels in each direction that are averaged before colours are compared. Averaging removes noise and keeps
content."""

_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}

_CLAIMS = "its header claims "

_one_large = threading.Lock()

warnings.filterwarnings("ignore", module=r"PIL\.")  # about unusual metadata, which is not used
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class PictureVerdict:
    """The result of examining a picture."""

    state: PictureState
    error: str | None = None
    """The reason, if it is broken."""
    extension: str = ""
    """The file name extension, chosen by the content."""
    width: int | None = None
    height: int | None = None


def judge(body: bytes) -> PictureVerdict:
    """Decode a picture and return its state; never raises because of its content."""
    try:
        return _judged(body)
    except UnidentifiedImageError:
        return _broken("it is empty" if not body else "it is not a JPEG, PNG or WebP image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return _broken(_CLAIMS + TOO_LARGE)
    except Exception as exc:  # a decoder may raise anything on bytes from outside
        return _broken("it is cut off" if "truncated" in str(exc) else "it cannot be decoded completely")


def _judged(body: bytes) -> PictureVerdict:
    """Return the state of a picture within the limits; raises if it cannot be decoded."""
    if too_much := excess_of_parts(body):
        return _broken(too_much)
    with Image.open(BytesIO(body), formats=FORMATS) as image:
        kind, (width, height) = image.format or "", image.size
        if kind not in _EXTENSIONS:
            return _broken("it is not a JPEG, PNG or WebP image")
        if too_much := excess(kind, width, height):
            return _broken(_CLAIMS + too_much)
        image.verify()
    with _one_large if memory_bytes(kind, width, height) > LARGE_BYTES else nullcontext():
        state = _decoded(body)
    return PictureVerdict(state, extension=_EXTENSIONS[kind], width=width, height=height)


def _decoded(body: bytes) -> PictureState:
    """Decode to the last row and return the state."""
    with Image.open(BytesIO(body), formats=FORMATS) as image:
        block = max(1, min(_BLOCK, min(image.size) // 2))
        if block == _BLOCK and image.format in ("JPEG", "MPO"):
            # JPEG comes in blocks of that size: their averages alone take a 64th of the memory.
            image.draft(None, (image.width // _BLOCK, image.height // _BLOCK))
            block = 1
        image.load()
        return _state(image, block)


def _state(image: Image.Image, block: int) -> PictureState:
    """Return whether a picture is black, blank or has content."""
    bands = [*zip(*_extremes(image, block), strict=True)]  # the range of each channel, in every band of rows
    ranges = [(min(low for low, _ in band), max(high for _, high in band)) for band in bands]
    if all(high <= BLACK_LEVEL for _, high in ranges):
        return PictureState.BLACK
    if all(high - low <= BLANK_RANGE for low, high in ranges):
        return PictureState.BLANK
    return PictureState.WHOLE


def _extremes(image: Image.Image, block: int) -> Iterator[list[tuple[float, float]]]:
    """Yield minimum and maximum of each channel, some rows at a time, to save memory."""
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        found = rows.convert("RGB").reduce(block).getextrema()
        yield [pair for pair in found if isinstance(pair, tuple)]


def _broken(error: str) -> PictureVerdict:
    return PictureVerdict(PictureState.BROKEN, error)
