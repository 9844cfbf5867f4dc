"""What a fetched picture turns out to be: whole, one colour all over, black, or no picture.

Between bytes that somebody else has sent and the disk. Every picture is decoded to its last row, since a
picture that was cut off begins like any other. Needs Pillow; reads the formats that thumbnails come in, and
none that is too large to be one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from batcher.model.task import PictureState

MOST_PIXELS = 40_000_000
"""More than a picture of 8K has; each takes some bytes of memory."""

BLACK_LEVEL = 24
"""Of 255: black as video has it, and its noise."""
BLANK_RANGE = 10
"""Of 255: by so much one colour differs from itself once JPEG is done with it."""
_BLOCK = 8
"""Pixels each way that are averaged before colours are compared: the noise goes, whatever is drawn stays."""

_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a picture is."""

    state: PictureState
    error: str | None = None
    """Why it is broken."""
    extension: str = ""
    """By what it is, not by what anybody calls it."""
    width: int | None = None
    height: int | None = None


def judged(body: bytes) -> Judged:
    """Decode a picture and look at it; never raises for what is in it."""
    try:
        with Image.open(BytesIO(body), formats=("JPEG", "PNG", "WEBP")) as image:
            extension = _EXTENSIONS.get(image.format or "")
            width, height = image.size
            if extension is None:
                return _broken("it is no JPEG, PNG or WebP image")
            if width * height > MOST_PIXELS:
                return _too_large()
            image.verify()
        with Image.open(BytesIO(body), formats=("JPEG", "PNG", "WEBP")) as image:
            image.load()
            return Judged(_look(image), extension=extension, width=width, height=height)
    except UnidentifiedImageError:
        return _broken("it is empty" if not body else "it is no JPEG, PNG or WebP image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return _too_large()
    except Exception as exc:  # whatever a decoder makes of bytes that anybody can send
        return _broken("it is cut off" if "truncated" in str(exc) else "it cannot be decoded to its end")


def _look(image: Image.Image) -> PictureState:
    """Whether there is anything to be seen."""
    block = max(1, min(_BLOCK, min(image.size) // 2))
    extremes = image.convert("RGB").reduce(block).getextrema()
    channels = [pair for pair in extremes if isinstance(pair, tuple)]
    if all(high <= BLACK_LEVEL for _, high in channels):
        return PictureState.BLACK
    if all(high - low <= BLANK_RANGE for low, high in channels):
        return PictureState.BLANK
    return PictureState.WHOLE


def _broken(error: str) -> Judged:
    return Judged(PictureState.BROKEN, error)


def _too_large() -> Judged:
    return _broken(f"it claims to have more than {MOST_PIXELS // 1_000_000} million pixels")
