"""The rules of file ids: why a text cannot be the id of a recording. Pure.

Called by :mod:`batcher.manifest.rows` for every id that is not plain digits, or begins with 0. A Tencent id
is digits only. A Huawei id is the key of an object, which may hold almost any character; so a text is refused
only if it is certainly something else, such as a placeholder for a missing value or a URL.

Sources: OBS documentation, "Object"; Unicode, ``Default_Ignorable_Code_Point`` (invisible characters).
"""

from __future__ import annotations

import re
import unicodedata

from batcher.manifest.columns import BLANKS
from batcher.manifest.display import shown
from batcher.manifest.formats.table import lost_digits
from batcher.manifest.placeholders import is_placeholder
from batcher.model.submission import Vendor

MAX_ID_BYTES = 1_024
"""The longest object key of Huawei's OBS, in UTF-8."""
_CHARACTERS_THAT_FIT = MAX_ID_BYTES // 4

_INVISIBLE_CLASS = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_CLASS}]")
_DUBIOUS = re.compile(f"[{_INVISIBLE_CLASS}\ufffd]")
"""What may make a text unreadable: searched first, since it is searched in every path of another script."""
_SELECTORS = "\ufe0e\ufe0f\u200d"
"""Characters that are a part of an emoji after a symbol."""
_REPLACEMENT = "\ufffd"

_OPENING = frozenset("\"'`´“”„‟‘’‚‛«»‹›「『＂＇″")
_CLOSING = frozenset("\"'`´“”‟‘’‛«»‹›」』＂＇″")

_URL = re.compile(
    r"[a-z][a-z0-9+.\-]*://|(?:https?|obs|s3a?|oss|cos|file):/|[a-z0-9.\-]+\.myhuaweicloud\.(?:com|cn|eu)[:/]",
    re.IGNORECASE,
)
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+")
_POINT = re.compile(r"[+-]?[0-9]+[.,][0-9]*")


def id_fault(file_id: str, cell: str, vendor: Vendor | None) -> str | None:
    """Return why an id that is not plain digits cannot be sent; None when it can.

    Args:
        file_id: the id, without blanks around it and without a spreadsheet's marks.
        cell: the cell that held it.
        vendor: whose id it is; None when that is not known.
    """
    if not file_id:
        return "is missing"
    plain = file_id.isascii() and file_id.isprintable()
    if not plain and _DUBIOUS.search(file_id) and (reason := _unreadable(file_id)):
        return reason
    if len(file_id) > _CHARACTERS_THAT_FIT and len(file_id.encode()) > MAX_ID_BYTES:
        return f"{shown(file_id)} is longer than {MAX_ID_BYTES:,} bytes"
    if is_placeholder(file_id):
        return f"{shown(file_id)} is a placeholder for a missing value, not a file id"
    if file_id[-1] in _CLOSING and (quoted := _quoted(file_id, cell.strip(BLANKS))):
        return f"{shown(quoted)} is in quotation marks. Remove them"
    if file_id[0] != "/" and _URL.match(file_id):
        return (
            f"{shown(file_id)} is a URL. A file id is the path of the object without host, bucket and query"
        )
    if vendor is not Vendor.TENCENT or (file_id.isascii() and file_id.isdigit()):
        return None
    return _not_digits(file_id)


def _quoted(*texts: str) -> str | None:
    """Return the first text that is in quotation marks as a whole."""
    whole = (text for text in texts if len(text) > 1 and text[0] in _OPENING and text[-1] in _CLOSING)
    return next(whole, None)


def _unreadable(file_id: str) -> str | None:
    """Return why a text cannot be read by people: a character without a shape, or one that was lost."""
    for found in _INVISIBLE.finditer(file_id):
        if not _is_part_of_symbol(file_id, found.start()):
            return f"{shown(file_id, around=found.start())} holds {_named(found[0])}"
    if _REPLACEMENT in file_id:
        where = file_id.index(_REPLACEMENT)
        return (
            f"{shown(file_id, around=where)} holds U+FFFD: a program could not read a character and has "
            "replaced it. Export the file again from the original"
        )
    return None


def _is_part_of_symbol(text: str, at: int) -> bool:
    """Whether an invisible character belongs to the emoji or the ideograph before it."""
    before = text[at - 1] if at else ""
    if not before:
        return False
    if text[at] in _SELECTORS:
        keycap = text[at + 1 : at + 2] == "\u20e3"
        return keycap or before in _SELECTORS or unicodedata.category(before) in ("So", "Sk")
    return "\U000e0100" <= text[at] <= "\U000e01ef" and unicodedata.category(before) == "Lo"


def _named(character: str) -> str:
    """Return the name of an invisible character."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "a control character or a line end"
    return f"an invisible character (U+{ord(character):04X})"


def _not_digits(file_id: str) -> str:
    """Return why a text is not a Tencent file id."""
    for pattern in (_SCIENTIFIC, _POINT):
        if pattern.fullmatch(file_id):
            return lost_digits(file_id)
    return f"{shown(file_id)} is not a Tencent file id, which is digits only"
