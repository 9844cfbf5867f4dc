"""The receiver of callbacks: answers a request once the callback is on disk.

The ``listen`` command serves it with :func:`batcher.callbacks.http_server.serve`. Any host may reach the
port, so the body, the time of a request and the number of connections are bounded.
:mod:`batcher.callbacks.acceptance` has the rules of what is refused. The receiver never believes what a
callback says, and sends no requests itself. Success must not be answered before the ledger has committed the
callback: the service does not send it again after that.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol

import aiohttp
from aiohttp import web
from aiohttp.http import HttpProcessingError

from batcher.callbacks.acceptance import (
    SEEN_BEFORE,
    Acceptance,
    RequestHead,
    RequestRefusal,
    is_health_check,
    ledger_refusal,
    refusal_of_callback,
    refusal_of_head,
    refusal_of_length,
)
from batcher.callbacks.new_submissions import NewSubmissions
from batcher.errors import LedgerError, UnreadableCallback
from batcher.ledger.callback_events import Taken
from batcher.model.callbacks import Callback, event_of
from batcher.model.events import CallbackRefused, CallbackTaken, OnEvent, ignore_event
from batcher.model.submission import EndpointKind, InvalidRow, Row
from batcher.zego.callbacks import read_callback

HEALTH_S = 5.0
"""The longest time that the ledger may take to answer a health check."""

MALFORMED = (HttpProcessingError, aiohttp.ClientPayloadError, web.RequestPayloadError)
"""The exceptions that aiohttp raises for bytes that are not HTTP."""


class ReceivingLedger(Protocol):
    """The ledger, as far as the receiver uses it."""

    async def take(
        self, callback: Callback, content: str, row: Row | InvalidRow | None = None
    ) -> Taken | None:
        """Record a callback with all that follows; None when another one has its nonce and time."""

    async def bound_to(self) -> tuple[int, EndpointKind] | None:
        """Read the AppId of the ledger: the health check."""


class Receiver:
    """Answers requests.

    Args:
        ledger: where callbacks are recorded.
        acceptance: which callbacks are accepted.
        submissions: makes new submissions of recordings; None to make none.
        on_event: called for every callback, accepted or refused.
        taken: called after each callback that was recorded.
        clock: Unix seconds.
    """

    def __init__(
        self,
        ledger: ReceivingLedger,
        acceptance: Acceptance,
        *,
        submissions: NewSubmissions | None = None,
        on_event: OnEvent = ignore_event,
        taken: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._acceptance = acceptance
        self._submissions = submissions
        self._on_event = on_event
        self._taken = taken
        self._clock = clock

    async def answer(self, request: web.BaseRequest, received: Callable[[], None]) -> web.StreamResponse:
        """Answer one request; its connection ends with it.

        Args:
            request: from any host; it may be forged.
            received: called once the whole request has arrived.
        """
        answer = await self._answer(request, received)
        if isinstance(answer, RequestRefusal):
            self._on_event(CallbackRefused(answer.why, answer.status, request.remote))
            answer = web.Response(status=answer.status, text="refused\n", headers=answer.headers)
        answer.force_close()
        return answer

    async def _answer(
        self, request: web.BaseRequest, received: Callable[[], None]
    ) -> web.Response | RequestRefusal:
        encoding = request.headers.get("Content-Encoding", "identity")
        head = RequestHead(request.method, request.path, encoding, request.content_length)
        if is_health_check(head):
            return await self._health()
        if refusal := refusal_of_head(head, self._acceptance):
            return refusal
        body = await self._body(request)
        if isinstance(body, RequestRefusal):
            return body
        received()
        try:
            callback = read_callback(body)
        except UnreadableCallback as exc:
            return RequestRefusal(400, str(exc))
        return refusal_of_callback(callback, self._acceptance, self._clock()) or await self._take(callback)

    async def _body(self, request: web.BaseRequest) -> bytes | RequestRefusal:
        body = b""
        try:
            while part := await request.content.readany():  # the server ends a connection that takes too long
                body += part
                if refusal := refusal_of_length(len(body), self._acceptance):
                    return refusal
        except MALFORMED:
            return RequestRefusal(400, "its body is not HTTP")
        return body

    async def _take(self, callback: Callback) -> web.Response | RequestRefusal:
        """Record a callback; it is on disk when this returns a success."""
        row = self._submissions(callback) if self._submissions else None
        try:
            taken = await self._ledger.take(callback, content_of(callback), row)
        except LedgerError as exc:
            return ledger_refusal(str(exc))
        if taken is None:
            return SEEN_BEFORE
        task_id, file_id = getattr(callback, "task_id", None), getattr(callback, "file_id", None)
        self._on_event(CallbackTaken(event_of(callback), taken.effect, taken.again, task_id, file_id))
        self._taken()
        return web.Response(text="ok\n")

    async def _health(self) -> web.Response:
        try:
            async with asyncio.timeout(HEALTH_S):
                await self._ledger.bound_to()
        except (LedgerError, TimeoutError):
            return web.Response(status=503, text="the ledger cannot be read\n")
        return web.Response(text="ok\n")


def content_of(callback: Callback) -> str:
    """Return a callback as JSON for the ledger, without its signature."""
    fields = asdict(callback)
    fields["app_id"] = fields.pop("seal")["app_id"]
    return json.dumps(fields, ensure_ascii=False)
