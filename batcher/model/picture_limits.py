"""The limits of pictures that are decoded: formats, dimensions, memory. Pure.

The only owner of these numbers. Called by ``fetch/images`` and ``report/html/thumbnails`` before a picture
is decoded: the size in its header decides how much memory decoding takes, however small the file is.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final = ("JPEG", "PNG", "WEBP")
"""The formats of thumbnails, by Pillow's names; no other decoder is ever called."""

MAX_PIXELS: Final = 40_000_000
"""Width times height: more than an 8K picture has."""
MAX_SIDE: Final = 16_384
"""Width, and height: more than any video has. Each row takes memory, however short it is."""
MAX_MEMORY_BYTES: Final = 256 << 20
"""Memory for decoding one picture, estimated from its header. WebP reaches it at 16 million pixels."""
MAX_PARTS: Final = 10_000
"""Segments of a JPEG, and chunks of a PNG; each is an object in memory, however short it is."""
MAX_SCANS: Final = 100
"""Passes over a JPEG; a progressive one has about ten. Each takes as long as the picture has pixels."""

TOO_LARGE: Final = f"more than {MAX_PIXELS // 1_000_000} million pixels or {MAX_SIDE:,} in a row or column"

_BYTES_PER_PIXEL: Final = {"PNG": 5, "WEBP": 16}
_OTHER_BYTES_PER_PIXEL: Final = 6
"""JPEG: a progressive one is kept as a whole until its last scan."""


def memory_bytes(kind: str | None, width: int, height: int) -> int:
    """Return the estimated memory for decoding a picture.

    Args:
        kind: its format by Pillow's name.
        width: from its header.
        height: from its header.
    """
    return width * height * _BYTES_PER_PIXEL.get(kind or "", _OTHER_BYTES_PER_PIXEL)


def excess(kind: str | None, width: int, height: int) -> str | None:
    """Return which limit a picture's header exceeds, in words; None if it may be decoded."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        return TOO_LARGE
    if memory_bytes(kind, width, height) > MAX_MEMORY_BYTES:
        return f"a size that needs more than {MAX_MEMORY_BYTES >> 20} MiB of memory to decode"
    return None
