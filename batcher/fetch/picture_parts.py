"""The parts of a picture's file: segments and scans of a JPEG, chunks of a PNG. Pure.

Called by :mod:`batcher.fetch.images` before Pillow opens a picture. Pillow keeps each part as an object of
its own and reads padding byte by byte, so a file of a million empty parts would take a gigabyte and half a
minute. Damage is not judged here: Pillow finds it.
"""

from __future__ import annotations

from batcher.model.picture_limits import MAX_PARTS, MAX_SCANS

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
_WITHOUT_DATA = frozenset({0x01, *range(0xD0, 0xD9)})
"""Segments that are a marker alone."""


def excess_of_parts(body: bytes) -> str | None:
    """Return which limit the parts of a picture exceed, in words; None if it may be opened."""
    if body.startswith(_JPEG):
        if body.count(_SCAN) > MAX_SCANS:
            return f"it has more than {MAX_SCANS} scans"
        too_many = _has_many_segments(body)
    else:
        too_many = body.startswith(_PNG) and _has_many_chunks(body)
    return f"it has more than {MAX_PARTS:,} parts" if too_many else None


def _has_many_chunks(body: bytes) -> bool:
    at = len(_PNG)
    for _ in range(MAX_PARTS):
        if at + 8 > len(body):
            return False
        at += 12 + int.from_bytes(body[at : at + 4])
    return at < len(body)


def _has_many_segments(body: bytes) -> bool:
    """Return whether there are too many segments and bytes of padding before the first scan."""
    at, n_padding = len(_JPEG), 0
    for _ in range(MAX_PARTS):
        begin, at = at, body.find(b"\xff", at)
        if at < 0:
            return len(body) - begin > MAX_PARTS
        marker = next((n for n in range(at + 1, min(at + 1 + MAX_PARTS, len(body))) if body[n] != 0xFF), None)
        if marker is None:
            return len(body) - at > MAX_PARTS
        n_padding += marker - begin - 1
        if n_padding > MAX_PARTS:
            return True
        if body[marker] == _SCAN[1]:
            return False
        has_data = body[marker] and body[marker] not in _WITHOUT_DATA
        at = marker + 1 + (int.from_bytes(body[marker + 1 : marker + 3]) if has_data else 0)
    return True
