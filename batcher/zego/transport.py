"""Calling the service: one call, one request, one outcome.

Between the client, which knows what the calls are about, and the network. What came back is said and, when
nothing did, whether the request can have arrived; nothing is ever sent twice, waits for a turn, or is decided
here. Secrets and signed URLs stay inside: outcomes carry class names and the operating system's words, never
an exception's own text.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import ClientResponse
from yarl import URL

from batcher.model.account import Account
from batcher.model.outcome import HELD_BACK, Answer, NotSent, Outcome, ReplyLost
from batcher.model.submission import Vendor
from batcher.zego import wire
from batcher.zego.connector import DEPARTING, Connector
from batcher.zego.departure_check import check_departures, unseen
from batcher.zego.signature import SIGNATURE_VERSION, signature

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

SIGNATURE_EXPIRED = 100000004

CONNECT_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 5.0
CLOCK_JUMP_S = 60.0
"""A learned offset that is off by more shows that our clock has jumped since."""

_BELIEVED_S = 1_577_836_800.0, 4_102_444_800.0
"""Unix seconds of 2020 and 2100: a server's clock that shows another time is not believed."""

_MAX_RETRY_AFTER_S = 3600.0


class _Unanswered(Exception):
    """A request that was written and got no answer; raised so that aiohttp does not send it again."""


_REPEATED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""On these aiohttp quietly sends a GET a second time, and this GET starts a paid task: from the first byte on
they are raised as :class:`_Unanswered`. Before it, sending again is harmless.
"""


class _TakenBack(Exception):
    """A request that was ready to leave and must not any more."""


class Leg(Enum):
    """How far a call came that nobody answered."""

    NAME = "name"
    """The host's name, or the proxy's, was not found."""
    CONNECTION = "connection"
    """No connection was made."""
    PROXY = "proxy"
    """The proxy would not connect us."""
    TLS = "tls"
    """The two sides did not agree on an encrypted connection, or the certificate is not good."""
    ANSWER = "answer"
    """The connection was made, and no answer came."""


@dataclass(slots=True)
class CallTrace:
    """What one call met on its way: for ``batcher check``."""

    address: str | None = None
    """Of the host, or the proxy, that was connected to."""
    certificate: Mapping[str, Any] | None = None
    """The verified one, as :meth:`ssl.SSLSocket.getpeercert` gives it; None without TLS."""
    sent_at: float | None = None
    """Unix seconds by our clock, before the first byte left."""
    answered_at: float | None = None
    """Unix seconds by our clock, when the answer's head was here."""
    server_time: float | None = None
    """The answer's ``Date`` in Unix seconds, cut to whole ones; None when it had none."""
    ended_at: Leg | None = None
    """Where the call ended when no answer came."""

    def connected(self, transport: asyncio.BaseTransport | None) -> None:
        """The connection is made."""
        if transport is not None:
            peer = transport.get_extra_info("peername")
            self.address = str(peer[0]) if isinstance(peer, tuple) else None
            self.certificate = transport.get_extra_info("peercert")
        self.sent_at = time.time()

    def answered(self, response: ClientResponse) -> None:
        """The answer's head is here."""
        self.answered_at = time.time()
        self.server_time = _server_time(response)


@dataclass(slots=True)
class Wire:
    """What happened to one request on its way; filled in while it is under way."""

    may_leave: Callable[[], Awaitable[bool]] | None = None
    """Asked at that moment, which may be long after the call began; when it says no, nothing is sent."""
    sent_at: float | None = None
    """Unix seconds at which its first byte may have left; None while none can have."""
    seen: CallTrace | None = None
    """Filled in with what was met on the way, for those who ask."""
    alone: bool = False
    """Nothing is sent on its connection afterwards: the other side may be closing it just then."""
    protocol: ResponseHandler | None = None
    """Its connection, for the connector."""
    idle_s: float | None = None
    """How long its connection was idle before it; None on a new one."""
    max_body_bytes: int = wire.MAX_BODY_BYTES
    """An answer longer than this is not one of the service's."""
    body: bytes = b""
    """The answer's, for calls that ask for more than an outcome tells."""

    async def leaves(self) -> None:
        """Ask whether the request may leave; raise when it may not."""
        if self.may_leave is not None and not await self.may_leave():
            raise _TakenBack

    def left(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that the first byte is about to be handed to the connection."""
        if self.seen is not None:
            self.seen.connected(transport)
        self.sent_at = time.time()


def _session(connector: Connector) -> aiohttp.ClientSession:
    """Return a session for the calls that :data:`DEPARTING` names, one request for each."""

    async def once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> ClientResponse:
        """Keep the client library from sending a request again that got no answer."""
        try:
            return await handler(request)
        except _REPEATED as exc:
            call = DEPARTING.get()
            if call.sent_at is None:
                raise
            connector.hung_up(call)
            raise _Unanswered(_words(exc)) from None

    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(once,),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # the proxy is looked up once, here, not in a thread for every request
    )


_checked = False
"""This process has seen requests leave."""


class Caller:
    """Calls of one account at one endpoint, over one pool of connections.

    Args:
        endpoint: where the calls go, such as ``https://rtc-api.zego.im/``.
        account: who signs them.
        timeout_s: how long a call may take, connecting included.
        connections: how many connections there may be.
        clock: Unix seconds; what signatures are dated by.
    """

    def __init__(
        self,
        endpoint: str,
        account: Account,
        *,
        timeout_s: float,
        connections: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = endpoint
        self._account = account
        self._clock = clock
        self._clock_offset_s = 0.0
        self._nonces = _nonces()
        self._proxy = _proxy_for(URL(endpoint))
        self._timeout = _timeout(timeout_s)
        self._probe_timeout = _timeout(min(timeout_s, PROBE_TIMEOUT_S))
        self._connector = Connector(connections)
        self._session = _session(self._connector)

    async def __aenter__(self) -> Self:
        global _checked
        if not _checked:
            await check_departures(_session(Connector(1)), Wire)
            _checked = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def proxy(self) -> tuple[str, int] | None:
        """Host and port of the proxy that calls go through."""
        url = URL(self._proxy) if self._proxy else None
        return (url.host or "", url.port or 0) if url else None

    async def _call(
        self,
        query: str,
        vendor: Vendor | None,
        on_wire: Wire,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> Outcome:
        offset_s = self._clock_offset_s
        url = URL(f"{self._endpoint}?{query}&{self._public()}", encoded=True)
        status: int | None = None
        DEPARTING.set(on_wire)
        try:
            async with self._session.get(
                url,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=limits or self._timeout,
            ) as response:
                status = response.status
                if on_wire.seen is not None:
                    on_wire.seen.answered(response)
                body = b""
                while len(body) <= on_wire.max_body_bytes and (more := await response.content.readany()):
                    body += more
                on_wire.body = body
        except _TakenBack:
            return HELD_BACK
        except Exception as exc:  # whatever the library raises, what counts is whether anything was sent
            if on_wire.seen is not None:
                on_wire.seen.ended_at = _leg(exc, on_wire)
            if status is None or on_wire.sent_at is not None:
                return _without_answer(exc, on_wire, status)
        if on_wire.sent_at is None:
            raise unseen("are answered although they were not seen leaving")
        if not self._connector.check_answered(on_wire):
            return ReplyLost("two answers came to one request", status)
        return self._answered(response, on_wire, vendor, offset_s)

    def _public(self) -> str:
        """The public parameters of a call signed now, as a query string: nothing in them needs escaping."""
        account, nonce = self._account, next(self._nonces)
        timestamp = int(self._clock() + self._clock_offset_s)
        signed = signature(account.app_id, nonce, account.server_secret, timestamp)
        test = "" if account.is_test is None else f"&IsTest={'true' if account.is_test else 'false'}"
        return (
            f"AppId={account.app_id}&SignatureNonce={nonce}&Timestamp={timestamp}&Signature={signed}"
            f"&SignatureVersion={SIGNATURE_VERSION}{test}"
        )

    def _answered(
        self, response: ClientResponse, on_wire: Wire, vendor: Vendor | None, offset_s: float
    ) -> Outcome:
        status, body = response.status, on_wire.body
        envelope = wire.read_answer(body, vendor) if len(body) <= on_wire.max_body_bytes else None
        succeeded = envelope is not None and envelope.code == 0
        retry_after_s = (
            None if succeeded else _retry_after_s(response.headers.get("Retry-After"), self._clock)
        )
        if envelope is None:
            location = response.headers.get("Location")
            return wire.read_without_code(status, body, location=location, retry_after_s=retry_after_s)
        corrected = envelope.code == SIGNATURE_EXPIRED and self._learn_clock(response, offset_s)
        return Answer(
            code=envelope.code,
            message=envelope.message,
            request_id=envelope.request_id,
            vendor_request_id=envelope.vendor_request_id,
            task_id=envelope.task_id,
            http_status=status,
            retry_after_s=retry_after_s,
            clock_corrected=corrected,
            excerpt=wire.excerpt(body) if vendor and succeeded and envelope.task_id is None else "",
        )

    def _learn_clock(self, response: ClientResponse, signed_with_s: float) -> bool:
        """Learn how far our clock is off from the answer's ``Date``; False when there is nothing to learn.

        A request that was signed with what was learned already teaches something only when our clock has
        jumped meanwhile: else the clock is not what is wrong.
        """
        server_time = _server_time(response)
        if server_time is None:
            return False
        offset_s = server_time - self._clock()
        if signed_with_s and abs(offset_s - signed_with_s) < CLOCK_JUMP_S:
            return False
        self._clock_offset_s = offset_s
        return True


def _nonces() -> Iterator[str]:
    """Random ones of 16 hex digits; many are drawn at once, since each draw is a call of the system."""
    while True:
        drawn = secrets.token_hex(8 * 256)
        for begin in range(0, len(drawn), 16):
            yield drawn[begin : begin + 16]


def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=min(CONNECT_TIMEOUT_S, total_s))


def _without_answer(exc: Exception, on_wire: Wire, status: int | None) -> Outcome:
    """The one place where the client library's exceptions become words: was anything sent or not."""
    if on_wire.sent_at is None:
        return NotSent(_words(exc))
    if status is not None:
        return ReplyLost(f"the answer was cut off: {_words(exc)}", status)
    return ReplyLost(f"no answer came: {_words(exc)}")


def _leg(exc: Exception, on_wire: Wire) -> Leg:
    if on_wire.sent_at is not None:
        return Leg.ANSWER
    if isinstance(exc, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return Leg.NAME
    if isinstance(exc, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return Leg.PROXY
    if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError):
        return Leg.TLS
    return Leg.CONNECTION


def _words(exc: BaseException) -> str:
    """An exception in words that cannot hold a URL: what the system says, or its class."""
    if isinstance(exc, _Unanswered):
        return str(exc)
    if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ConnectionTimeoutError):
        return "timed out"
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return "timed out while connecting"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        reason = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None)
        detail = getattr(reason, "verify_message", "") or getattr(reason, "reason", "") or ""
        return f"TLS failed: {detail}".rstrip(": ")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return "the host's name was not found"
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return f"the proxy refused: HTTP {exc.status}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {exc.reason}" if getattr(exc, "reason", None) else "TLS failed"
    if isinstance(exc, socket.gaierror):
        return "the host's name was not found"
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    return type(exc).__name__


def _server_time(response: ClientResponse) -> float | None:
    """The answer's ``Date``; None when it has none that can be read and believed."""
    try:
        at = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    earliest, latest = _BELIEVED_S
    return at if earliest <= at < latest else None


def _retry_after_s(value: str | None, clock: Callable[[], float]) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or a date; None when it says nothing."""
    if value is None:
        return None
    try:
        seconds = (
            float(value)
            if value.strip().isdecimal()
            else (parsedate_to_datetime(value).timestamp() - clock())
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)


def _proxy_for(endpoint: URL) -> str | None:
    """The proxy that the environment names for this endpoint; none for this machine's own addresses."""
    host = endpoint.host or ""
    if host in {"localhost", "::1"} or host.startswith("127.") or proxy_bypass(host):
        return None
    proxy = getproxies().get(endpoint.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
