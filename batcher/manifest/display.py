"""Text out of a manifest made fit for a message: on one line, of bounded length, without control characters.

Every message and reason that quotes a manifest comes through here, so that a damaged file can
neither flood a terminal nor steer it. Nothing here changes what is sent or kept.
"""

from __future__ import annotations

SHOWN_CHARACTERS = 60
"""About as much of a value as a line of a terminal has room for beside the message."""


def shown(text: str, *, around: int = 0, limit: int = SHOWN_CHARACTERS) -> str:
    """``text`` with its unprintable characters escaped; of a long one the part around a position."""
    begin = 0 if len(text) <= limit else max(0, min(around - limit // 3, len(text) - limit))
    part = text[begin : begin + limit]
    safe = part if part.isprintable() else "".join(map(_escaped, part))
    return f"{'…' if begin else ''}{safe}{'…' if begin + limit < len(text) else ''}"


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
