"""How numbers, durations, sizes and times read; and text wrapped by the columns that it takes."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from batcher.model.submission import EndpointKind

PLACES = {EndpointKind.ZEGO: "the ZEGO cloud", EndpointKind.OTHER: "an endpoint outside the ZEGO cloud"}

_PIECE = re.compile(
    r"\s*(?:(?:\$ )?batcher (?:run|load|check|retry|status|export|show|codes|ledger|discover|verify-ids|track"
    r"|listen|fetch|report|audit)\b.*|\S+)",
    re.DOTALL,
)
"""What is not torn apart: a word, or a command with which a text ends, for whoever copies it."""


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


def at_least_a_second(seconds: float) -> str:
    """How long something takes that surely takes some time: never ``0 s``."""
    return duration(seconds) if seconds >= 1 else "less than 1 s"


def moment(at: datetime | None) -> str:
    """ISO 8601 in UTC to the millisecond; empty when there was none."""
    if at is None:
        return ""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(n_bytes: int) -> str:
    """``12 KiB``, ``3.4 MiB``, ``1.2 GiB``."""
    for unit, bits in (("GiB", 30), ("MiB", 20)):
        if n_bytes >= 1 << bits:
            return f"{n_bytes / (1 << bits):,.1f} {unit}"
    return f"{-(-n_bytes // 1024):,} KiB"


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(one: str) -> int:
    if unicodedata.category(one) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


_OBEYED = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys instead of showing it, what turns the order of letters, and what is no character."""


def one_line(text: str) -> str:
    """A text with others' words in it as one line: what ends a line or steers a terminal is escaped."""
    return text if text.isascii() and text.isprintable() else _OBEYED.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def wrapped(text: str, width: int, *, head: str = "", indent: str = "") -> str:
    """A text in lines of so many columns; no word is broken, whatever its length.

    Args:
        text: one paragraph; ends of lines in it are blanks.
        width: columns of the whole line.
        head: what stands before the text.
        indent: what stands before each further line.
    """
    lines = [head]
    room = width - columns(head)
    for piece in _PIECE.findall(re.sub(r"[\t\n\v\f\r]", " ", text)):
        begun = lines[-1] not in (head, indent)
        if begun and columns(piece) > room:
            lines.append(indent)
            room, begun = width - columns(indent), False
        lines[-1] += (fresh := piece if begun else piece.lstrip())
        room -= columns(fresh)
    return "\n".join(lines)


def paragraph(
    label: str, text: str, *, width: int, indent: int = 2, label_width: int = 0, hang: int = 0
) -> str:
    """A label and its text, wrapped so that the text stands in a column of its own; an entry may hang."""
    head = " " * indent + label + " " * max(label_width - columns(label), 0) + " " * bool(label)
    return wrapped(text, width, head=head, indent=" " * (columns(head) + hang))


def sentence(text: str) -> str:
    """A text with a capital at its beginning, unless that is a name, and a full stop at its end."""
    text = text.strip()
    if text.split(" ", 1)[0].isalpha():
        text = text[0].upper() + text[1:]
    return text + ("" if not text or text.endswith((".", "!", "?")) else ".")
