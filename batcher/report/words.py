"""How numbers, durations and times read; and wrapped paragraphs under a label."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime


def count(n: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``4 s``, ``3 min 10 s``, ``2 h 5 min``, ``3 d 4 h``: the two largest units."""
    whole = round(seconds)
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        n, whole = divmod(whole, size)
        if n or (name == "s" and not parts):
            parts.append(f"{n} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def moment(at: datetime | None) -> str:
    """ISO 8601 in UTC to the millisecond; empty when there was none."""
    if at is None:
        return ""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def paragraph(label: str, text: str, *, width: int, indent: int = 2, label_width: int = 0) -> str:
    """A label and its text, wrapped so that the text stands in a column of its own."""
    head = " " * indent + label.ljust(label_width)
    return textwrap.fill(
        text,
        width=width,
        initial_indent=head + " " if label else head,
        subsequent_indent=" " * (len(head) + bool(label)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def sentence(text: str) -> str:
    """A text with a capital at its beginning, unless that is a name, and a full stop at its end."""
    text = text.strip()
    if text.split(" ", 1)[0].isalpha():
        text = text[0].upper() + text[1:]
    return text + ("" if not text or text.endswith((".", "!", "?")) else ".")
