"""Fetched pictures as thumbnails inside the page.

Called by ``cli/commands/report.py``. Every picture is decoded and encoded again: no byte of a server
reaches the page unchanged. A file outside the folder is never read, even if the ledger names one.
"""

from __future__ import annotations

import base64
import io
import warnings
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from batcher.files import is_file
from batcher.model.picture_limits import FORMATS, excess

LONGEST_PX = 240
"""The longer side of a thumbnail, in pixels."""

_QUALITY = 60


class NoFrame(Enum):
    """The reason why a picture cannot be shown."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"


class Frame(NamedTuple):
    """A thumbnail."""

    uri: str
    width: int
    height: int


def frame_of(folder: Path, file: str) -> Frame | NoFrame:
    """Return a picture of a folder as a thumbnail with a ``data:`` address, or why there is none."""
    try:
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()) or not is_file(path):
            return NoFrame.ABSENT
        return _scaled(path)
    except Exception:  # a decoder may raise anything on a damaged file
        return NoFrame.UNREADABLE


def _scaled(path: Path) -> Frame | NoFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unusual metadata, which is not used
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            if excess(image.format, *image.size):
                return NoFrame.UNREADABLE
            image.draft("RGB", (LONGEST_PX, LONGEST_PX))
            small = image.convert("RGB")
    small.thumbnail((LONGEST_PX, LONGEST_PX))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return Frame("data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode(), *small.size)
