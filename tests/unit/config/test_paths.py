"""Texts that are not accepted as a path."""

from __future__ import annotations

import pytest

from batcher.config.paths import path_problem


@pytest.mark.parametrize(
    "text",
    [
        "batcher.db",
        "/home/o'brien/a.db",
        "C:\\a.db",
        "录像.db",
        "a b.db",
        "./é.db",
        "a\udcff.db",
        "~/x",
        "a`b",
    ],
)
def test_ordinary_path_is_accepted(text: str) -> None:
    """Blanks and apostrophes inside, other scripts and bytes that are no UTF-8 are all right."""
    assert path_problem(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give a path"),
        (" ", "give a path"),
        ("batcher.db\r", "control"),
        ("batcher\n.db", "control"),
        ("\tbatcher.db", "control"),
        ("b\x00", "control"),
        ("\ufeffbatcher.db", "invisible"),
        ("batcher\u200b.db", "invisible"),
        ("batcher.db ", "blank"),
        ("\u00a0batcher.db", "blank"),
        ('"batcher.db"', "quotation"),
        ("'batcher.db'", "quotation"),
        ('"/data"/batcher.db', "quotation"),
        ("/data/'batcher.db'", "quotation"),
        ("\u201cbatcher.db\u201d", "quotation"),
    ],
)
def test_path_with_stray_characters_is_refused(text: str, message: str) -> None:
    """Line ends, invisible characters, blanks around it and quotation marks each have their reason."""
    assert message in (path_problem(text) or "")
