"""Answers: the bytes of the reply to a judgement, intact or damaged by a fault.

`service` passes its judgement here; `listener` delivers the resulting `Reply`. Nothing here decides about
acceptance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from hashlib import md5
from http import HTTPStatus
from uuid import UUID

from .faults import REDIRECTS, Fault, FaultKind
from .settings import SandboxSettings
from .variants import AnswerShape

JSON_TYPE = "application/json"
HTML_TYPE = "text/html"

# Names of the service's return codes, for Message. Sources: service documentation, "Global return codes" and
# "Start a snapshot task" (return codes).
_MESSAGES = {
    0: "success",
    1: "failed, server may be busy",
    2: "input parameter error",
    3: "permission not enabled",
    4: "CDN type does not match",
    5: "configuration error",
    6: "call frequency too high",
    7: "authentication failed",
    8: "authentication configuration could not be read",
    206: "call frequency too high",
    207: "call frequency too high",
    1000: "request failed",
    1010: "call frequency too high",
    5007: "call frequency too high",
    30002: "call frequency too high",
    41003: "file does not exist",
    100000000: "host error",
    100000001: "AppId format error",
    100000002: "Timestamp is empty",
    100000003: "Timestamp format error",
    100000004: "signature expired",
    100000005: "signature error",
    100000006: "Action is empty",
    100000007: "Action does not exist",
    100000008: "SignatureNonce is empty",
    100000009: "Signature is empty",
    100000010: "ServerSecret of the AppId not found",
    100000011: "app configuration not found",
    100000012: "request body cannot be read",
    100000013: "SignatureVersion is empty",
    100000014: "SignatureVersion is not supported",
    100000015: "gateway internal error",
    100000016: "no such environment, check IsTest",
    100000017: "service not enabled",
}


class Delivery(Enum):
    """The way in which a reply is delivered."""

    WHOLE = "whole"
    """Written completely."""
    CUT = "cut"
    """Half of the body is written with the length of all of it, then the connection closes."""
    CLOSED = "closed"
    """Nothing is written, the connection closes."""
    HELD = "held"
    """Nothing is written, the connection stays open until the client disconnects or the sandbox stops."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request. `code` is the `Code` that a client can read in it, if any."""

    delivery: Delivery = Delivery.WHOLE
    status: int = 200
    content_type: str = JSON_TYPE
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_ms: float = 0.0
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The service's judgement of a request. `code` is None if a fault at the front prevented it."""

    code: int | None
    problem: str = ""
    vendor: str = ""
    task_id: str | None = None
    fault: Fault | None = None
    throttled: bool = False
    data: dict[str, object] | None = None
    """The vendor's part of the answer of an Action that starts no task."""
    listed: int | None = None
    """The number of recordings in it."""


class Answers:
    """Writes replies; their ids come from the seed and a number, so that a run can be repeated."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._seed = settings.seed
        self._shape = settings.answer_shape
        self._with_request_id = settings.with_request_id

    def task_id(self, vendor: str, count: int) -> str:
        """Return the id of the task accepted as number `count` (from 0), in its vendor's form."""
        if vendor == "Huawei":
            return str(289_665_200 + self._seed * 1_000_000_000 + count)
        return f"1500030200-procedurev2-{self._digest('task', count)}tt0"

    def reply(self, judgement: Judgement, number: int) -> Reply:
        """Return the reply to request `number`, damaged as the judgement's fault requires."""
        fault = judgement.fault
        if fault is None or fault.kind is FaultKind.CODE:
            return self._whole(judgement, number)
        match fault.kind:
            case FaultKind.DROP_BEFORE | FaultKind.DROP_AFTER:
                return Reply(Delivery.CLOSED)
            case FaultKind.HANG_BEFORE | FaultKind.HANG:
                return Reply(Delivery.HELD)
            case FaultKind.HTTP | FaultKind.HTTP_AFTER:
                return html_reply(fault.number or 500, retry_after_s=fault.retry_after_s)
            case FaultKind.HTML:
                return html_reply(200)
            case FaultKind.LONG_HEADER:
                return Reply(headers={"X-Long": "x" * 9_000})
            case FaultKind.SLOW:
                return self._whole(judgement, number, delay_ms=fault.number or 0)
            case FaultKind.CUT:
                return Reply(Delivery.CUT, body=self._body(judgement, number))
            case FaultKind.EMPTY:
                return Reply()
            case FaultKind.CUT_JSON:
                body = self._body(judgement, number)
                return Reply(body=body[: len(body) // 2])
            case FaultKind.NO_CODE:
                return Reply(body=self._body(judgement, number, without="Code"))
            case FaultKind.NO_TASK_ID:
                return Reply(body=self._body(judgement, number, without="Data"), code=judgement.code)

    def _whole(self, judgement: Judgement, number: int, delay_ms: float = 0.0) -> Reply:
        return Reply(body=self._body(judgement, number), code=judgement.code, delay_ms=delay_ms)

    def _body(self, judgement: Judgement, number: int, without: str = "") -> bytes:
        """Write the envelope, without the field named `without`."""
        message = _MESSAGES.get(judgement.code or 0, "unknown error")
        fields: dict[str, object] = {
            "Code": judgement.code,
            "Message": f"{message}: {judgement.problem}" if judgement.problem else message,
        }
        if self._with_request_id:
            fields["RequestId"] = self.uuid("request", number)
        fields["Data"] = self._data(judgement, number)
        fields.pop(without, None)
        return json.dumps(fields, separators=(",", ":")).encode()

    def _data(self, judgement: Judgement, number: int) -> dict[str, object]:
        if judgement.data is not None:
            return {judgement.vendor: self._shaped(judgement.data)}
        if judgement.task_id is None:
            return {}
        if judgement.vendor == "Huawei":
            task: dict[str, object] = {"task_id": judgement.task_id}
        else:
            task = {"TaskId": judgement.task_id, "RequestId": self.uuid("vendor", number)}
        return {judgement.vendor: self._shaped(task)}

    def _shaped(self, part: dict[str, object]) -> object:
        match self._shape:
            case AnswerShape.LIST:
                return [part]
            case AnswerShape.SECOND:
                return [{}, part]
        return part

    def uuid(self, what: str, number: int) -> str:
        """Return the id of something that belongs to request `number`."""
        return str(UUID(hex=self._digest(what, number), version=4))

    def _digest(self, what: str, number: int) -> str:
        return md5(f"{self._seed} {what} {number}".encode(), usedforsecurity=False).hexdigest()


def html_reply(status: int, *, retry_after_s: int | None = None) -> Reply:
    """Return a page as a proxy in front of a service shows it."""
    title = f"{status} {HTTPStatus(status).phrase}" if status in tuple(HTTPStatus) else str(status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status in REDIRECTS:
        # The root: a client that follows the redirect appears in the log as a second request.
        headers["Location"] = "/"
    return Reply(status=status, content_type=HTML_TYPE, body=page.encode(), headers=headers)
