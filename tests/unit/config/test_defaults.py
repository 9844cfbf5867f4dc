"""Defaults are stated once, and are written in help texts as a user gives them."""

from __future__ import annotations

import pytest

from batcher.config import defaults
from batcher.config.examine import load_settings


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.5, "0.5s"), (30.0, "30s"), (90.0, "90s"), (600.0, "10m"), (172800, "48h")],
)
def test_duration_text_is_read_back_as_the_same_duration(seconds: float, text: str) -> None:
    """A duration is written as a setting takes it."""
    assert defaults.duration_text(seconds) == text
    assert load_settings({"grace": text}).grace == seconds


@pytest.mark.parametrize(("size", "text"), [(1500, "1500"), (512 << 10, "512K"), (20 << 20, "20M")])
def test_size_is_read_with_its_unit(size: int, text: str) -> None:
    """A size may have a unit."""
    assert load_settings({"max_bytes": text}).max_bytes == size
