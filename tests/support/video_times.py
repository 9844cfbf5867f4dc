"""The times that pictures of the sample videos show, read from their strips."""

from __future__ import annotations

from PIL.Image import Image

from batcher.sandbox.demo_videos import (
    BITS,
    GUARDS,
    HEIGHT,
    LEFT,
    SQUARE,
    SUM_BITS,
    TOP,
    UNIT_MS,
    WIDTH,
    strip,
)


def read_time_ms(image: Image) -> int | None:
    """Read the time in milliseconds from a picture of a sample video; None without a complete strip."""
    grey = image.convert("L")
    across, down = grey.width / WIDTH, grey.height / HEIGHT
    y = int((TOP + SQUARE / 2) * down)
    squares: list[bool] = []
    for place in range(BITS + SUM_BITS + 2 * GUARDS):
        level = grey.getpixel((int((LEFT + (place + 0.5) * SQUARE) * across), y))
        assert isinstance(level, int)
        squares.append(level > 127)
    units = 0
    for square in squares[GUARDS : GUARDS + BITS]:
        units = units * 2 + square
    return units * UNIT_MS if strip(units * UNIT_MS) == squares else None
