"""Numbers, durations, sizes and times as text; and text wrapped to the width of a terminal. Pure.

Used by every message and summary. Nothing else may format these values.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from batcher.model.durations import at_least_a_second as at_least_a_second
from batcher.model.durations import duration as duration
from batcher.model.submission import EndpointKind

PLACES = {EndpointKind.ZEGO: "the ZEGO cloud", EndpointKind.OTHER: "an endpoint outside the ZEGO cloud"}

_PIECE = re.compile(
    r"\s*(?:(?:\$ )?batcher (?:run|load|check|retry|status|export|show|codes|ledger|discover|verify-ids|track"
    r"|listen|fetch|report|audit)\b.*|\S+)",
    re.DOTALL,
)
"""A piece that is never broken: a word, or a command at the end of a text, so that it can be copied."""


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 row``, ``1,200 rows``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def moment(at: datetime | None) -> str:
    """Return a time as ISO 8601 in UTC to the millisecond; empty for None."""
    if at is None:
        return ""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(n_bytes: int) -> str:
    """Return a size: ``12 KiB``, ``3.4 MiB``, ``1.2 GiB``."""
    for unit, bits in (("GiB", 30), ("MiB", 20)):
        if n_bytes >= 1 << bits:
            return f"{n_bytes / (1 << bits):,.1f} {unit}"
    return f"{-(-n_bytes // 1024):,} KiB"


def columns(text: str) -> int:
    """Return the number of terminal columns of a text."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, characters that reverse the writing direction, and code points that are not
characters."""


def one_line(text: str) -> str:
    """Return a text from outside as one line: line ends and control characters are escaped."""
    return text if text.isascii() and text.isprintable() else _CONTROLS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def wrapped(
    text: str, width: int, *, head: str = "", indent: str = "", pieces: re.Pattern[str] = _PIECE
) -> str:
    """Return a text in lines of a width; no word is broken, however long it is.

    Args:
        text: one paragraph; line ends in it count as blanks.
        width: columns of the whole line.
        head: the text before the first line.
        indent: the text before each further line.
        pieces: matches each piece that is never broken, with the blanks before it.
    """
    lines = [head]
    room = width - columns(head)
    for piece in pieces.findall(re.sub(r"[\t\n\v\f\r]", " ", text)):
        begun = lines[-1] not in (head, indent)
        if begun and columns(piece) > room:
            lines.append(indent)
            room, begun = width - columns(indent), False
        lines[-1] += (fresh := piece if begun else piece.lstrip())
        room -= columns(fresh)
    return "\n".join(lines)


def paragraph(
    label: str,
    text: str,
    *,
    width: int,
    indent: int = 2,
    label_width: int = 0,
    hang: int = 0,
    pieces: re.Pattern[str] = _PIECE,
) -> str:
    """Return a label and its text; the wrapped text has a column of its own, and may hang."""
    head = " " * indent + label + " " * max(label_width - columns(label), 0) + " " * bool(label)
    return wrapped(text, width, head=head, indent=" " * (columns(head) + hang), pieces=pieces)


def noted(line: str, note: str, width: int) -> str:
    """Return a line and the note on it; the wrapped note has a column of its own."""
    return paragraph(line + "  ", note, width=width, indent=0)


def sentence(text: str) -> str:
    """Return a text with a capital first letter, unless it begins with a name, and a full stop."""
    text = text.strip()
    if text.split(" ", 1)[0].isalpha():
        text = text[0].upper() + text[1:]
    return text + ("" if not text or text.endswith((".", "!", "?")) else ".")
