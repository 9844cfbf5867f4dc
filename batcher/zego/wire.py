"""Between values and the wire: a submission as query parameters, a body as an answer. No I/O.

Source: ZEGO server API, "Start a snapshot task" (MediaThumbnails).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from unicodedata import category
from urllib.parse import quote

from batcher.model.outcome import HttpRefusal, ReplyLost
from batcher.model.redaction import redacted_url
from batcher.model.submission import FileId, Parameters, ReplyShape, SnapshotType, TaskId, Vendor

MAX_BODY_BYTES = 1 << 20
"""An answer longer than this is not one of the service's."""

MAX_TEXT_CHARS = 2000
"""Of a message or a RequestId; longer ones are cut."""

MAX_ID_CHARS = 2000
"""Of a task id or a file id; longer ones are not readable."""

_DIGITS = re.compile(r"-?[0-9]{1,19}")
_LONGEST_NUMBER = 100
"""Digits of a JSON number that is read as one; a longer one is kept as text."""

Query = list[tuple[str, str]]


def media_thumbnails(file_id: FileId, asked: Parameters) -> Query:
    """The parameters of one MediaThumbnails call without the public ones, in the order of the documentation.

    Only parameters that have an effect for the vendor and type are there; the key of the offsets carries its
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
    """A call that proves the credentials and starts no task: code 2, no FileId, means that all is well."""
    return [("Action", "MediaThumbnails")]


def encoded(query: Query) -> str:
    """A query string; every byte that could mean something in a URL is escaped."""
    return "&".join([f"{_escaped_name(name)}={_escaped(value)}" for name, value in query])


def encoded_call(file_id: FileId, asked: Parameters) -> str:
    """The query string of :func:`media_thumbnails`; millions of calls share what stands around the id."""
    before, after = _around_id(asked)
    return f"{before}{_escaped(file_id)}{after}"


@lru_cache(maxsize=1_000)
def _around_id(asked: Parameters) -> tuple[str, str]:
    before, key, after = encoded(media_thumbnails(FileId(""), asked)).partition("FileId=")
    return before + key, after


def _escaped(text: str) -> str:
    """Most values are letters and digits, which a look tells faster than the library does."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="/")


@lru_cache
def _escaped_name(name: str) -> str:
    return quote(name, safe="")


class Envelope(NamedTuple):
    """What an answer's body says."""

    code: int
    message: str
    request_id: str | None
    vendor_request_id: str | None
    task_id: TaskId | None


def read_answer(body: bytes, vendor: Vendor | None) -> Envelope | None:
    """Read an answer's body; None when it has no readable ``Code``.

    Args:
        body: the body as it came.
        vendor: whose part of ``Data`` holds the task id; None when no task can have been started.
    """
    parsed = parsed_body(body)
    if (code := integer_of(parsed.get("Code"))) is None:
        return None
    parts = list(parts_of(parsed.get("Data"), vendor)) if vendor else []
    return Envelope(
        code=code,
        message=text_of(parsed.get("Message")) or "",
        request_id=text_of(parsed.get("RequestId")),
        vendor_request_id=next(filter(None, (text_of(part.get("RequestId")) for part in parts)), None),
        task_id=next(filter(None, map(_task_id, parts)), None) if code == 0 else None,
    )


def read_without_code(
    status: int, body: bytes, *, location: str | None = None, retry_after_s: float | None = None
) -> HttpRefusal | ReplyLost:
    """Read an answer that has no readable ``Code``.

    Args:
        status: the HTTP status.
        body: the body as it came.
        location: the header of that name.
        retry_after_s: what the header ``Retry-After`` asks for.
    """
    if 300 <= status < 400:
        return HttpRefusal(status, retry_after_s, _printable(redacted_url(location or ""))[:EXCERPT_CHARS])
    if (400 <= status < 500 and status not in _MAYBE_TAKEN) or status == 503:
        return HttpRefusal(status, retry_after_s)
    shape = ReplyShape.OTHER_JSON if status < 300 and is_json(body) else ReplyShape.NOTHING
    return ReplyLost(f"HTTP {status} with {excerpt(body)} and no readable Code", status, shape)


_MAYBE_TAKEN = (408, 421, 425)
"""These say nothing certain about what became of the request."""

_TITLE = re.compile(rb"<title[^>]*>([^<]*)", re.IGNORECASE)
_SIGNATURE = re.compile(r"(Signature(?:Nonce)?=)[0-9a-f]+", re.IGNORECASE)

EXCERPT_CHARS = 120


def excerpt(body: bytes) -> str:
    """Say what a body is, in words that fit into a message."""
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
    """Return whether a body is JSON, of whatever kind."""
    try:
        json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError):
        return False
    return True


def parsed_body(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object; an empty one when there is none."""
    try:
        parsed = json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else digits


def _task_id(part: dict[str, object]) -> TaskId | None:
    """Return the task id of one part, under either vendor's name for it."""
    text = id_of(part.get("TaskId")) or id_of(part.get("task_id"))
    return TaskId(text) if text else None


def parts_of(data: object, vendor: str) -> Iterator[dict[str, object]]:
    """The vendor's parts of ``Data``: the examples show an object, the tables say a list of objects."""
    part = data.get(str(vendor)) if isinstance(data, dict) else None
    for candidate in part if isinstance(part, list) else [part]:
        if isinstance(candidate, dict):
            yield candidate


def integer_of(value: object) -> int | None:
    """A signed whole number of at most 64 bits, which is what can be kept; a longer one is no code."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return None
    return value


def milliseconds_of(value: object) -> int | None:
    """A time in a recording, which comes as a whole number or as a fraction, rounded to a millisecond."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    return integer_of(value)


def id_of(value: object) -> str | None:
    """Return an id as it is; None when it is missing or cannot be kept whole.

    An id is never repaired: a cut or changed one would name another task or recording, or none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS:
        return None
    text = value.strip()
    return text if text and not any(map(_is_damage, text)) else None


def _is_damage(one: str) -> bool:
    """Return whether a character is a control character, half a surrogate pair, or the mark of a lost one."""
    return one == "\ufffd" or (not one.isprintable() and category(one) in {"Cc", "Cs"})


def text_of(value: object) -> str | None:
    """Text that can be kept: what is no Unicode is replaced, what is endless is cut."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    if len(value) <= MAX_TEXT_CHARS and value.isascii() and value.isprintable():
        return value.strip() or None
    text = value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode().replace("\0", "").strip()
    return text or None
