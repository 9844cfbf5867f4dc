"""Paths as users give them: texts that cannot have been meant.

Called by the settings, and when a ledger is opened. A path is almost any text, so a stray character does not
fail: it names another file. For a ledger that means a new one, without the record of what was sent.
"""

from __future__ import annotations

import os
import unicodedata

_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories of control, format and separator characters; surrogates hold bytes of a name."""


def path_problem(text: str) -> str | None:
    """Return what is wrong with the text of a path and how to fix it; None for a path that may be meant.

    An apostrophe inside a path is legal; quotation marks around it were meant for a shell.
    """
    try:  # names are judged as UTF-8, in a locale of another encoding, too
        text = os.fsencode(text).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "the path has characters that are not in this locale; set LC_ALL=C.UTF-8"
    if not text.strip():
        return "give a path"
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return "the path holds a control or invisible character (a line end of Windows?); remove it"
    if text != text.strip():
        return "the path begins or ends with a blank; remove it"
    if '"' in text or text[0] in _QUOTES or text[-1] in _QUOTES:
        return "the path holds quotation marks, which are not removed here; give it without them"
    return None
