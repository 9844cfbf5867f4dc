"""The receiver of callbacks: a small HTTP server that takes what is signed, and answers once it is on disk.

Between whoever reaches the port, which may be anybody, and the ledger. Everything is bounded: the body, the
time a request may take, how many may come at once. What is refused is told no reason, so that nobody learns
by trying. It never believes what a callback says, and never sends anything by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http import HttpProcessingError

from batcher.errors import LedgerError, UnreadableCallback
from batcher.ledger.callbacks import CallbackLedger
from batcher.manifest import Defaults
from batcher.manifest.columns import read_columns
from batcher.manifest.rows import read_rows
from batcher.model.callbacks import FACTS, Callback, Composed, Recorded, event_of
from batcher.model.events import CallbackRefused, CallbackTaken, OnEvent, ignore_event
from batcher.model.submission import InvalidRow, Row, Vendor
from batcher.zego.callbacks import is_signed, read_callback

REQUEST_S = 10.0
"""How long a request may take to come, from its connection on."""

VISIT_S = 40.0
"""How long a connection may last: a request, the ledger's turn, and the answer."""

MOST_AT_ONCE = 256
"""Connections. When they are all taken, the one that has said nothing for the longest time makes room."""

HEALTH_S = 5.0
LOG_EVERY_S = 60.0
"""How often an error of ours while answering is logged, at most: callers can repeat it at will."""

RETRY_AFTER_S = 2

HEALTH = "/healthz"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What is taken."""

    secret: str
    max_age_s: float = 600.0
    """How far a callback's time may be from ours, in either direction."""
    max_body_bytes: int = 512 << 10
    """A picture every 10 s of a recording of four hours, URL-encoded, is about 350 KiB."""
    path: str | None = None
    """Where callbacks are sent; None for anywhere."""
    app_id: int | None = None
    """Whose they are; None for anybody's who knows the secret."""


class NewSubmissions:
    """Submissions out of callbacks that tell of recordings, by the rules of a manifest.

    Args:
        defaults: what is asked of each.
    """

    def __init__(self, defaults: Defaults) -> None:
        columns = read_columns("callbacks", ["file_id", "vendor", *FACTS])
        self._columns = replace(columns, marked=False)
        self._defaults = defaults

    def __call__(self, callback: Callback) -> Row | InvalidRow | None:
        """The submission that follows from a callback, or why it cannot be sent; None when none follows."""
        if not isinstance(callback, Recorded | Composed) or not callback.file_id or not callback.vendor:
            return None
        if isinstance(callback, Composed) and not callback.succeeded:
            return None
        return self._row(callback.file_id, callback.vendor, [callback.facts.get(name, "") for name in FACTS])

    def missing(self, vendor: Vendor) -> InvalidRow | None:
        """What is missing for any recording of a vendor; None when nothing is."""
        row = self._row("1", vendor, [""] * len(FACTS))
        return row if isinstance(row, InvalidRow) else None

    def _row(self, file_id: str, vendor: Vendor, facts: list[str]) -> Row | InvalidRow | None:
        return next(read_rows([(0, [file_id, vendor, *facts], None)], self._columns, self._defaults), None)


class Receiver:
    """Answers requests; serve it with :func:`received`.

    Args:
        ledger: where callbacks go.
        acceptance: what is taken.
        submissions: what follows from recordings; None when nothing does.
        on_event: told of every callback, taken or refused.
        taken: called after each that is on record.
        clock: Unix seconds.
    """

    def __init__(
        self,
        ledger: CallbackLedger,
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

    async def answer(self, request: web.BaseRequest, heard: Callable[[], None]) -> web.StreamResponse:
        """Answer one request; its connection ends with it.

        Args:
            request: may be from anybody.
            heard: called once all of it has come.
        """
        try:
            answer = await self._answer(request, heard)
        except _CallbackRefusal as refusal:
            self._on_event(CallbackRefused(refusal.why, refusal.status, request.remote))
            answer = web.Response(status=refusal.status, text="refused\n", headers=refusal.headers)
        answer.force_close()
        return answer

    async def _answer(self, request: web.BaseRequest, heard: Callable[[], None]) -> web.Response:
        if request.path == HEALTH and request.method in {"GET", "HEAD"}:
            return await self._health()
        if self._acceptance.path not in (None, request.path):
            raise _CallbackRefusal(404, "nobody listens at this path")
        if request.method != "POST":
            raise _CallbackRefusal(405, "it is no POST", Allow="POST")
        body = await self._body(request)
        heard()
        callback = self._read(body)
        if not is_signed(callback.seal, self._acceptance.secret):
            raise _CallbackRefusal(401, "its signature is wrong")
        if abs(self._clock() - callback.seal.timestamp) > self._acceptance.max_age_s:
            raise _CallbackRefusal(401, "its time is too far from ours")
        if self._acceptance.app_id and callback.seal.app_id not in (None, self._acceptance.app_id):
            raise _CallbackRefusal(401, "it is of another AppId")
        await self._take(callback)
        return web.Response(text="ok\n")

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _CallbackRefusal(415, "its body is packed")
        if (request.content_length or 0) > self._acceptance.max_body_bytes:
            raise _CallbackRefusal(413, "its body is too long")
        body = b""
        try:
            async with asyncio.timeout(REQUEST_S):
                while more := await request.content.readany():
                    body += more
                    if len(body) > self._acceptance.max_body_bytes:
                        raise _CallbackRefusal(413, "its body is too long")
        except TimeoutError:
            raise _CallbackRefusal(408, "its body did not come") from None
        except _MALFORMED:
            raise _CallbackRefusal(400, "its body is not HTTP") from None
        return body

    def _read(self, body: bytes) -> Callback:
        try:
            return read_callback(body)
        except UnreadableCallback as exc:
            raise _CallbackRefusal(400, str(exc)) from None

    async def _take(self, callback: Callback) -> None:
        """Have a callback kept; the sender hears of it once it is on disk."""
        row = self._submissions(callback) if self._submissions else None
        try:
            taken = await self._ledger.take(callback, _content(callback), row)
        except LedgerError as exc:
            raise _CallbackRefusal(503, str(exc), **{"Retry-After": str(RETRY_AFTER_S)}) from exc
        if taken is None:
            raise _CallbackRefusal(409, "another callback came under its nonce and time")
        task_id, file_id = getattr(callback, "task_id", None), getattr(callback, "file_id", None)
        self._on_event(CallbackTaken(event_of(callback), taken.effect, taken.again, task_id, file_id))
        self._taken()

    async def _health(self) -> web.Response:
        try:
            async with asyncio.timeout(HEALTH_S):
                await self._ledger.bound_to()
        except (LedgerError, TimeoutError):
            return web.Response(status=503, text="the ledger cannot be read\n")
        return web.Response(text="ok\n")


class _CallbackRefusal(Exception):
    """A request is not taken."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers


def _content(callback: Callback) -> str:
    """What a callback said, without its signature."""
    said = asdict(callback)
    said["app_id"] = said.pop("seal")["app_id"]
    return json.dumps(said, ensure_ascii=False)


# -- the server ----------------------------------------------------------------------------------------


@asynccontextmanager
async def received(
    receiver: Receiver,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    malformed: Callable[[], None] = lambda: None,
) -> AsyncIterator[str]:
    """Serve a receiver while the block goes on; at its end who is there is answered, and nobody new let in.

    Args:
        receiver: answers requests.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        tls: the certificate; None for plain HTTP.
        malformed: called for each request that is not HTTP.

    Yields:
        Its URL.

    Raises:
        OSError: nobody can listen there.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await receiver.answer(request, partial(door.heard, request.protocol))

    log = _ServerLog(malformed)
    server = web.Server(answer, access_log=None, auto_decompress=False, logger=log)
    door = _Doorkeeper(server, MOST_AT_ONCE)
    listener = await asyncio.get_running_loop().create_server(
        door, host, port, ssl=tls, ssl_handshake_timeout=REQUEST_S if tls else None
    )
    try:
        bound = listener.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"{'https' if tls else 'http'}://{shown}:{bound[1]}/"
    finally:
        listener.close()
        await door.last_ones_out()
        await server.shutdown(HEALTH_S)


_MALFORMED = (HttpProcessingError, aiohttp.ClientPayloadError, web.RequestPayloadError)
"""What aiohttp raises for bytes that are not HTTP."""


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's server: count bytes that are not HTTP, log errors of ours once a minute.

    Args:
        malformed: called for each request that is not HTTP.
    """

    def __init__(self, malformed: Callable[[], None]) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._malformed = malformed
        self._logged_at = -LOG_EVERY_S

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:  # noqa: ANN401 - as logging has it
        """Count or log an error that aiohttp met while it handled a request."""
        if isinstance(exc_info, _MALFORMED):
            self._malformed()
        elif (now := time.monotonic()) - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            super().exception(msg, *args, exc_info=exc_info, **more)

    def debug(self, msg: object, *args: object, exc_info: Any = None, **more: Any) -> None:  # noqa: ANN401 - as logging has it
        """Count a request that is not HTTP; aiohttp reports some of them here."""
        if isinstance(exc_info, _MALFORMED):
            self._malformed()
        else:
            super().debug(msg, *args, exc_info=exc_info, **more)


class _Doorkeeper:
    """Lets so many in at once, and shows out who says nothing."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most
        self._silent: dict[asyncio.BaseProtocol, _Visit] = {}
        """In the order in which they came, by the library's protocol, which requests name."""
        self._heard: dict[asyncio.BaseProtocol, _Visit] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __call__(self) -> asyncio.Protocol:
        """A visit that begins."""
        return _Visit(self, self._server())

    def came(self, visit: _Visit) -> None:
        """A connection is made."""
        if len(self._silent) + len(self._heard) >= self._most:
            next(iter(self._silent.values()), visit).show_out()
        self._silent[visit.inner] = visit

    def heard(self, inner: asyncio.BaseProtocol) -> None:
        """A whole request has come."""
        if (visit := self._silent.pop(inner, None)) is not None:
            self._heard[inner] = visit
            self._empty.clear()
            visit.stay(VISIT_S)

    def left(self, visit: _Visit) -> None:
        """A connection has ended."""
        self._silent.pop(visit.inner, None)
        self._heard.pop(visit.inner, None)
        if not self._heard:
            self._empty.set()

    async def last_ones_out(self) -> None:
        """Show out who has asked nothing, and wait for those that are being answered."""
        for visit in list(self._silent.values()):
            visit.show_out()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VISIT_S):
                await self._empty.wait()


class _Visit(asyncio.Protocol):
    """One connection: the library's own protocol, and a time by which it is over."""

    def __init__(self, door: _Doorkeeper, inner: web.RequestHandler) -> None:
        self._door = door
        self.inner = inner
        self._over: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self.stay(REQUEST_S)
        self.inner.connection_made(transport)
        self._door.came(self)

    def stay(self, seconds: float) -> None:
        """Last for so long from now on, at most."""
        if self._over is not None:
            self._over.cancel()
        self._over = asyncio.get_running_loop().call_later(seconds, self.show_out)

    def show_out(self) -> None:
        """End it at once."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._over is not None:
            self._over.cancel()
        self._door.left(self)
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand it on."""
        self.inner.eof_received()
        return None

    def pause_writing(self) -> None:
        """Hand it on."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self.inner.resume_writing()
