"""The state of a picture, by its pixels."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pictured import image, noisy

from batcher.fetch.images import judge
from batcher.model.task import PictureState


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_picture_has_state_extension_and_size(kind: str, extension: str) -> None:
    """State, extension and size come from the content."""
    found = judge(image(kind=kind, size=(320, 180)))
    assert (found.state, found.extension, found.width, found.height) == (
        PictureState.WHOLE,
        extension,
        320,
        180,
    )


@pytest.mark.parametrize("level", [0, 8, 16])
def test_noisy_black_picture_is_black(level: int) -> None:
    """Noise and JPEG compression do not hide that a picture is black."""
    assert judge(noisy(level)).state is PictureState.BLACK


@pytest.mark.parametrize("level", [40, 128, 200, 255])
def test_noisy_single_colour_is_blank(level: int) -> None:
    """A grey or white picture with noise is blank."""
    assert judge(noisy(level)).state is PictureState.BLANK


@pytest.mark.parametrize("colour", [(0, 0, 200), (200, 30, 30), (255, 255, 255)])
def test_any_single_colour_is_blank(colour: tuple[int, int, int]) -> None:
    """A blue picture is as blank as a white one."""
    assert judge(image(colour)).state is PictureState.BLANK


def test_dark_picture_with_content_is_whole() -> None:
    """A clock in a black picture, or a dim scene, is content."""
    made = Image.new("RGB", (320, 180), (2, 2, 2))
    made.paste((120, 120, 120), (300, 165, 316, 175))
    file = io.BytesIO()
    made.save(file, "JPEG", quality=50)
    assert judge(file.getvalue()).state is PictureState.WHOLE
    assert judge(noisy(30, noise=0)).state is PictureState.BLANK


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (7, 3), (3000, 2)])
def test_odd_size_is_examined(size: tuple[int, int]) -> None:
    """Small and thin pictures are examined too."""
    assert judge(image((0, 0, 0), size=size)).state is PictureState.BLACK


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_picture_is_broken(kind: str, share: float) -> None:
    """A picture that was cut anywhere is broken."""
    whole = image(kind=kind, size=(640, 360))
    found = judge(whole[: int(len(whole) * share)])
    assert found.state is PictureState.BROKEN
    assert found.error


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>Please log in.</body></html>", b"\xff\xd8\xff", b"GIF89a" + b"\0" * 50]
)
def test_other_content_is_broken(body: bytes) -> None:
    """A page, an empty body and other formats are broken."""
    assert judge(body).state is PictureState.BROKEN


def bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be large, and would be when it is decoded."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"\0" * ((width + 1) * min(height, 50)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [6_400, 10_000, 20_000, 2_000_000])
def test_decompression_bomb_is_not_decoded(side: int) -> None:
    """A picture whose header exceeds a limit is broken and is not decoded."""
    with warnings.catch_warnings(record=True) as said:
        found = judge(bomb(side, side))
    assert found.state is PictureState.BROKEN
    assert "million pixels" in (found.error or "")
    assert said == []


@given(st.binary(max_size=400), st.integers(0, 200))
def test_judge_of_any_bytes_never_raises(rest: bytes, at: int) -> None:
    """Damage in the middle of a picture raises nothing."""
    whole = image(size=(32, 32))
    assert judge(whole[:at] + rest + whole[at + len(rest) :]).state in set(PictureState)


ENDING = """
import sys
from pathlib import Path
from batcher.fetch.images import judge
found = judge(Path(sys.argv[1]).read_bytes())
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(found.state.value, int(status["VmHWM"].split()[0]) >> 10)
"""
"""Prints what a picture is, and the most MiB that its process has taken."""


def large(kind: str, size: tuple[int, int], mode: str = "RGB") -> bytes:
    """A large picture whose left half is of another colour, small as a file."""
    made = Image.new(mode, size)
    made.paste(tuple(90 for _ in made.getbands()), (0, 0, max(1, size[0] // 2), size[1]))
    file = io.BytesIO()
    made.save(file, kind)
    return file.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory was taken")
@pytest.mark.parametrize(
    ("kind", "size", "state", "most_mib"),
    [
        ("PNG", (1, 39_000_000), "broken", 100),
        ("PNG", (39_000_000, 1), "broken", 100),
        ("PNG", (2, 19_000_000), "broken", 100),
        ("PNG", (100_000, 300), "broken", 100),
        ("JPEG", (65_500, 500), "broken", 100),
        ("JPEG", (7680, 4320), "whole", 150),
        ("PNG", (7680, 4320), "whole", 260),
    ],
)  # fmt: skip
def test_memory_is_bounded_by_header(
    tmp_path: Path, kind: str, size: tuple[int, int], state: str, most_mib: int
) -> None:
    """An extreme shape is refused before decoding; an 8K picture takes some hundred megabytes."""
    body = bomb(*size) if state == "broken" and kind == "PNG" else large(kind, size)
    (tmp_path / "picture").write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path / "picture")], capture_output=True, text=True, check=True
    )
    found, mib = done.stdout.split()
    assert (found, int(mib) < most_mib) == (state, True), done.stdout


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("top", [0, 504, 1016, 1072])
def test_content_anywhere_in_large_picture_is_seen(kind: str, top: int) -> None:
    """Rows are examined in bands, and every band counts."""
    made = Image.new("RGB", (640, 1080), (2, 2, 2))
    made.paste((160, 160, 160), (320, top, 328, top + 8))
    file = io.BytesIO()
    made.save(file, kind, quality=90)
    assert judge(file.getvalue()).state is PictureState.WHOLE


def test_animated_picture_is_judged_by_first_frame() -> None:
    """The other frames are not decoded."""
    frames = [Image.new("RGB", (64, 48), (n, n, n)) for n in range(0, 250, 25)]
    for kind in ("WEBP", "PNG"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        assert judge(file.getvalue()).state is PictureState.BLACK
