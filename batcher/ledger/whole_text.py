"""Text that a database can store: names of files that are not UTF-8 contain half characters.

Used by the dialects of both databases. Half characters (lone surrogates) become escapes.
"""

from __future__ import annotations

from collections.abc import Callable


def without_half_characters(text: str) -> str:
    """Return a text with escapes in place of half characters."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def without_nul(text: str) -> str:
    """Return a text without half characters and NUL, which PostgreSQL does not store either."""
    text = without_half_characters(text)
    return text.replace("\0", "\\x00") if "\0" in text else text


def each_text(value: object, change: Callable[[str], str]) -> object:
    """Return a value as JSON holds it, with each text in it changed, apart from the names of members."""
    match value:
        case str():
            return change(value)
        case list() | tuple():
            return [each_text(item, change) for item in value]
        case dict():
            return {key: each_text(item, change) for key, item in value.items()}
        case _:
            return value
