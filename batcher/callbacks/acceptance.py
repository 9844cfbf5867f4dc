"""Rules of the receiver: which requests are refused, by HTTP status and reason.

Called by :class:`batcher.callbacks.receiver.Receiver`. Pure: a request is a value here, and the caller passes
the time. The order of the checks matters: nothing of a body is believed before its signature was checked. The
reasons are for the log; the sender gets the status alone, so that trying reveals nothing to an attacker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from batcher.model.callbacks import Callback
from batcher.zego.callbacks import is_signed

HEALTH = "/healthz"
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which callbacks are accepted."""

    secret: str = field(repr=False)
    max_age_s: float = 600.0
    """The largest difference between a callback's time and the local clock, in either direction."""
    max_body_bytes: int = 512 << 10
    """A picture every 10 s of a recording of four hours, URL-encoded, is about 350 KiB."""
    path: str | None = None
    """The path of callbacks; None for any path."""
    app_id: int | None = None
    """The AppId of callbacks; None for any AppId."""


class RequestHead(NamedTuple):
    """The head of a request: everything before its body."""

    method: str
    path: str
    encoding: str = "identity"
    content_length: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRefusal:
    """The answer to a request that is not accepted."""

    status: int
    why: str
    """For the log; never sent."""
    headers: Mapping[str, str] = field(default_factory=dict)


TOO_LONG = RequestRefusal(413, "its body is too long")
SEEN_BEFORE = RequestRefusal(409, "another callback has its nonce and time")


def is_health_check(head: RequestHead) -> bool:
    """Whether a request asks for the health of the listener."""
    return head.path == HEALTH and head.method in {"GET", "HEAD"}


def refusal_of_head(head: RequestHead, acceptance: Acceptance) -> RequestRefusal | None:
    """Return why a request is refused before its body is read; None when it is read."""
    if acceptance.path not in (None, head.path):
        return RequestRefusal(404, "its path is wrong")
    if head.method != "POST":
        return RequestRefusal(405, "it is not a POST", {"Allow": "POST"})
    if head.encoding.lower() != "identity":
        return RequestRefusal(415, "its body is compressed")
    return refusal_of_length(head.content_length or 0, acceptance)


def refusal_of_length(length: int, acceptance: Acceptance) -> RequestRefusal | None:
    """Return the refusal of a body of this many bytes; None when it is not too long."""
    return TOO_LONG if length > acceptance.max_body_bytes else None


def refusal_of_callback(callback: Callback, acceptance: Acceptance, now_s: float) -> RequestRefusal | None:
    """Return why a callback is refused; None when it is accepted.

    Args:
        callback: as it was read from the body.
        acceptance: the rules.
        now_s: Unix seconds.
    """
    if not is_signed(callback.seal, acceptance.secret):
        return RequestRefusal(401, "its signature is wrong")
    if abs(now_s - callback.seal.timestamp) > acceptance.max_age_s:
        return RequestRefusal(401, "its time differs too much from the local clock")
    if acceptance.app_id and callback.seal.app_id not in (None, acceptance.app_id):
        return RequestRefusal(401, "it names another AppId")
    return None


def ledger_refusal(problem: str) -> RequestRefusal:
    """Return the refusal while the ledger cannot be written: the service sends the callback again."""
    return RequestRefusal(503, problem, {"Retry-After": str(RETRY_AFTER_S)})
