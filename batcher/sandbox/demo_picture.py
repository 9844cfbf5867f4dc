"""Pictures made by rule: small grey mosaics as JPEG, without an image library.

`pictures` serves them where no real frames are taken. Every picture of every task looks different, and is
the same for each request. Only the part of the format that a mosaic needs is here: one grey component, one
brightness for each square of 8 x 8 pixels.

Source: ITU-T T.81, the baseline process; the table of the first coefficient is its table K.3.
"""

from __future__ import annotations

from hashlib import shake_128

COLUMNS, ROWS = 20, 12
_STEP = 8  # brightness of a square is its first coefficient, divided by this
_DC_COUNTS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
_DC_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110")
_END_OF_SQUARE = "0"  # the one code of the other coefficients, all of which are zero


def mosaic(name: str) -> bytes:
    """Return the mosaic of a name."""
    return jpeg(shake_128(name.encode()).digest(COLUMNS * ROWS))


def plain(brightness: int) -> bytes:
    """Return a picture of one brightness, from 0 (black) to 255 (white)."""
    return jpeg(bytes([brightness]) * (COLUMNS * ROWS))


def jpeg(squares: bytes) -> bytes:
    """Return squares, given row by row as brightness from 0 to 255, as a JPEG file."""
    size = bytes((0, ROWS * 8, 0, COLUMNS * 8))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
            _segment(0xDB, b"\x00" + bytes([_STEP]) * 64),
            _segment(0xC0, b"\x08" + size + b"\x01\x01\x11\x00"),
            _segment(0xC4, b"\x00" + _DC_COUNTS + bytes(range(12))),
            _segment(0xC4, b"\x10" + b"\x01" + bytes(15) + b"\x00"),
            _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00"),
            _scan(squares),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def _scan(squares: bytes) -> bytes:
    """Write each square as its difference from the one before."""
    bits, before = [], 128
    for brightness in squares:
        bits.append(_difference(brightness - before) + _END_OF_SQUARE)
        before = brightness
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def _difference(value: int) -> str:
    """Return the code of a number: its length and its digits; negative numbers as the format requires."""
    length = abs(value).bit_length()
    if not length:
        return _DC_CODES[0]
    digits = value if value > 0 else value + (1 << length) - 1
    return _DC_CODES[length] + format(digits, f"0{length}b")
