"""Fetched pictures made small enough to stand in the page itself.

Between a folder of pictures and the page. Every picture is decoded and encoded anew: not one byte that a
server sent comes onto the page as it was. It never leaves the folder, whatever a ledger calls a file.
"""

from __future__ import annotations

import base64
import io
import warnings
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from PIL import Image

LONGEST_PX = 240
"""Of a picture's sides on the page."""

MOST_PIXELS = 50_000_000
"""Of a picture that is decoded at all; eight times what a camera of 4K gives."""

_QUALITY = 60


class NoFrame(Enum):
    """Why a picture cannot be shown."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"


class Frame(NamedTuple):
    """A picture as the page carries it."""

    uri: str
    width: int
    height: int


def frame_of(folder: Path, file: str) -> Frame | NoFrame:
    """A picture of a folder, scaled down, as a ``data:`` address; or why there is none."""
    try:
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return NoFrame.ABSENT
        return _scaled(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return NoFrame.UNREADABLE


def _scaled(path: Path) -> Frame | NoFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange metadata, which nobody reads here
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                return NoFrame.UNREADABLE
            image.draft("RGB", (LONGEST_PX, LONGEST_PX))
            small = image.convert("RGB")
    small.thumbnail((LONGEST_PX, LONGEST_PX))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return Frame("data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode(), *small.size)
