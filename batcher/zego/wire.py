"""The query string of a submission, and the body of an answer as values. No I/O.

Called by :mod:`batcher.zego.client` and :mod:`batcher.zego.transport`; the other calls share the readers of
ids and numbers.

Source: ZEGO server API, "Start a snapshot task" (MediaThumbnails).
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, NamedTuple
from unicodedata import category
from urllib.parse import quote

from batcher.model.outcome import HttpRefusal, ReplyLost
from batcher.model.redaction import redacted_url
from batcher.model.submission import FileId, Parameters, ReplyShape, SnapshotType, TaskId, Vendor

MAX_BODY_BYTES = 1 << 20
"""A longer answer is not one of the service's."""

MAX_TEXT_CHARS = 2000
"""The longest message or RequestId; longer ones are cut."""

MAX_ID_CHARS = 2000
"""The longest task id or file id; longer ones count as unreadable."""

_DIGITS = re.compile(r"-?[0-9]{1,19}")
_LONGEST_NUMBER = 100
"""The most digits of a JSON number that is read as a number; a longer one stays text."""

Query = list[tuple[str, str]]


def media_thumbnails(file_id: FileId, asked: Parameters) -> Query:
    """Return the parameters of one MediaThumbnails call without the public ones, in documented order.

    Only parameters that have an effect for the vendor and type are included. The key of the offsets has
    brackets and is repeated.
    """
    query = [("Action", "MediaThumbnails"), ("Vendor", asked.vendor.value), ("FileId", file_id)]
    if asked.vendor is Vendor.TENCENT:
        query.append(("Definition", asked.definition))
    else:
        query.append(("Interval", asked.interval))
    if asked.type is SnapshotType.BY_TIME_OFFSET:
        query.extend(("ExtTimeOffsetSet[]", offset) for offset in asked.offsets)
    query.append(("Type", asked.type.value))
    return query


def harmless() -> Query:
    """Return a call that proves the credentials and starts no task: code 2, for the missing FileId."""
    return [("Action", "MediaThumbnails")]


def encoded(query: Query) -> str:
    """Return a query string; every byte with a meaning in URLs is escaped."""
    return "&".join([f"{_escaped_name(name)}={_escaped(value)}" for name, value in query])


def encoded_call(file_id: FileId, asked: Parameters) -> str:
    """Return the query string of :func:`media_thumbnails`; the parts around the id are cached."""
    before, after = _around_id(asked)
    return f"{before}{_escaped(file_id)}{after}"


@lru_cache(maxsize=1_000)
def _around_id(asked: Parameters) -> tuple[str, str]:
    before, key, after = encoded(media_thumbnails(FileId(""), asked)).partition("FileId=")
    return before + key, after


def _escaped(text: str) -> str:
    """Escape a value; most values are letters and digits, which a check finds faster than the library."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="/")


@lru_cache
def _escaped_name(name: str) -> str:
    return quote(name, safe="")


class Envelope(NamedTuple):
    """The fields of an answer's body."""

    code: int
    message: str
    request_id: str | None
    vendor_request_id: str | None
    task_id: TaskId | None


def read_answer(body: bytes, vendor: Vendor | None) -> Envelope | None:
    """Read an answer's body; None if it has no readable ``Code``.

    Args:
        body: the body as received.
        vendor: the vendor whose part of ``Data`` holds the task id; None if the call cannot start a task.
    """
    parsed = parsed_body(body)
    if (code := integer_of(parsed.get("Code"))) is None:
        return None
    vendor_request_id = task_id = None
    for part in parts_of(parsed.get("Data"), vendor) if vendor else ():
        vendor_request_id = vendor_request_id or text_of(part.get("RequestId"))
        task_id = task_id or _task_id(part)
    return Envelope(
        code=code,
        message=text_of(parsed.get("Message")) or "",
        request_id=text_of(parsed.get("RequestId")),
        vendor_request_id=vendor_request_id,
        task_id=task_id if code == 0 else None,
    )


def read_without_code(
    status: int, body: bytes, *, location: str | None = None, retry_after_s: float | None = None
) -> HttpRefusal | ReplyLost:
    """Read an answer without a readable ``Code``.

    Args:
        status: the HTTP status.
        body: the body as received.
        location: the header of that name.
        retry_after_s: the value of ``Retry-After``.
    """
    if 300 <= status < 400:
        return HttpRefusal(status, retry_after_s, _printable(redacted_url(location or ""))[:EXCERPT_CHARS])
    if (400 <= status < 500 and status not in _MAYBE_TAKEN) or status == 503:
        return HttpRefusal(status, retry_after_s)
    shape = ReplyShape.OTHER_JSON if status < 300 and is_json(body) else ReplyShape.NOTHING
    return ReplyLost(f"HTTP {status} with {excerpt(body)} and no readable Code", status, shape)


_MAYBE_TAKEN = (408, 421, 425)
"""Statuses that leave open whether the request was accepted."""

_TITLE = re.compile(rb"<title[^>]*>([^<]*)", re.IGNORECASE)
_SIGNATURE = re.compile(r"(Signature(?:Nonce)?=)[0-9a-f]+", re.IGNORECASE)

EXCERPT_CHARS = 120


def excerpt(body: bytes) -> str:
    """Describe a body in words that fit into a message."""
    if not body.strip():
        return "an empty body"
    if len(body) > MAX_BODY_BYTES:
        return f"a body of more than {MAX_BODY_BYTES:,} bytes"
    title = _TITLE.search(body[:10_000])
    is_page = body.lstrip()[:1] == b"<"
    text = (title[1] if title else body[: 8 * EXCERPT_CHARS]).decode("utf-8", "replace")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = _SIGNATURE.sub(r"\1…", text)
    text = text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + "…"
    return f'a page "{text}"' if title or is_page else text


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def is_json(body: bytes) -> bool:
    """Return whether a body is JSON of any kind."""
    try:
        _json_of(body)
    except (ValueError, RecursionError):
        return False
    return True


def parsed_body(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object; an empty one if the body is something else."""
    try:
        parsed = _json_of(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else digits


_DECODER = json.JSONDecoder(parse_int=_whole_number)
"""Made once: ``json.loads`` makes one for every call with an option."""


def _json_of(body: bytes) -> object:
    return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))


def _task_id(part: dict[str, object]) -> TaskId | None:
    """Return the task id of one part, under either vendor's name for it."""
    text = id_of(part.get("TaskId")) or id_of(part.get("task_id"))
    return TaskId(text) if text else None


def parts_of(data: object, vendor: str) -> list[dict[str, object]]:
    """Return the vendor's parts of ``Data``: an object in the examples, a list of objects in the tables."""
    part = data.get(str(vendor)) if isinstance(data, dict) else None
    candidates = part if isinstance(part, list) else [part]
    return [candidate for candidate in candidates if isinstance(candidate, dict)]


def integer_of(value: object) -> int | None:
    """Return a signed whole number of at most 64 bits; None for anything else."""
    if isinstance(value, str) and (digits := _DIGITS.fullmatch(value.strip())):
        value = int(digits[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return None
    return value


def milliseconds_of(value: object) -> int | None:
    """Return a time in a recording, given as a whole number or a fraction, rounded to a millisecond."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    return integer_of(value)


def id_of(value: object) -> str | None:
    """Return an id unchanged; None if it is missing or damaged.

    An id is never repaired: a cut or changed id would name another task or recording.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS:
        return None
    text = value.strip()
    if text.isascii() and text.isprintable():
        return text or None
    return None if any(map(_is_damage, text)) else text


def _is_damage(character: str) -> bool:
    """Return whether a character is a control character, half a surrogate pair, or the mark of a lost one."""
    return character == "\ufffd" or (not character.isprintable() and category(character) in {"Cc", "Cs"})


def text_of(value: object) -> str | None:
    """Return text that can be stored: invalid Unicode is replaced, overlong text is cut."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    if len(value) <= MAX_TEXT_CHARS and value.isascii() and value.isprintable():
        return value.strip() or None
    text = value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode().replace("\0", "").strip()
    return text or None
