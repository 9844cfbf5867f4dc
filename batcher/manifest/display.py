"""Quotation of a manifest's text in messages: one line, of bounded length, without control characters.

Called for every message and reason that quotes a manifest, so that a damaged file can neither flood a
terminal nor control it. Nothing here changes what is sent or kept.
"""

from __future__ import annotations

SHOWN_CHARACTERS = 60
"""About as many as fit on a line of a terminal next to the message."""


def shown(text: str, *, around: int = 0, limit: int = SHOWN_CHARACTERS) -> str:
    """Return a text with unprintable characters escaped; of a long text only the part around a position."""
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
