"""The parts of a picture's file, counted before it is opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile_pictures import chunk, drawn, many_chunks, png, with_scans, with_segment
from support.pictured import image

from batcher.fetch.picture_parts import excess_of_parts
from batcher.model.picture_limits import MAX_PARTS, MAX_SCANS

JPEG = image()
PROGRESSIVE = drawn("JPEG", (64, 48), progressive=True)
N_SCANS = PROGRESSIVE.count(b"\xff\xda")
PNG_PARTS = 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", None),
        (JPEG, None),
        (JPEG[:3], None),
        (PROGRESSIVE, None),
        (with_scans(PROGRESSIVE, MAX_SCANS - N_SCANS + 1), None),
        (with_scans(PROGRESSIVE, MAX_SCANS - N_SCANS + 2), "100 scans"),
        (with_segment(JPEG, 0xE1, b"\xff\xda" * (MAX_SCANS // 2)), None),
        (JPEG[:2] + b"\xff" * (MAX_PARTS - 1) + JPEG[2:], None),
        (JPEG[:2] + b"\xff" * (MAX_PARTS + 1) + JPEG[2:], "10,000 parts"),
        (JPEG[:2] + b"\xff\xd0" * MAX_PARTS + JPEG[2:], "10,000 parts"),
        (JPEG[:2] + b"\xff\xd0" * (MAX_PARTS // 2) + JPEG[2:], None),
        (JPEG[:2] + b"\xff\x00" * MAX_PARTS, "10,000 parts"),
        (JPEG[:2] + b"\0" * (MAX_PARTS + 1), "10,000 parts"),
        (png(64, 48, extra=many_chunks(MAX_PARTS - PNG_PARTS)), None),
        (png(64, 48, extra=many_chunks(MAX_PARTS - PNG_PARTS + 1)), "10,000 parts"),
        (png(64, 48, extra=[chunk(b"prVt", b"\xff\xda" * MAX_PARTS)]), None),
        (drawn("WEBP", (64, 48)), None),
        (b"\0" * MAX_PARTS * 2, None),
    ],
)
def test_parts_over_limit_are_named(body: bytes, words: str | None) -> None:
    """A picture at the limit may be opened, one above it has a reason."""
    found = excess_of_parts(body)
    assert (found is None) if words is None else (words in (found or ""))


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=400))
def test_short_file_never_has_too_many_parts(begin: bytes, rest: bytes) -> None:
    """Bytes of any kind are counted without an error."""
    assert excess_of_parts(begin + rest) is None or (begin + rest).count(b"\xff\xda") > MAX_SCANS
