"""The hooks into the inside of aiohttp, and the check at start-up that they still work.

Why: a call must send exactly one request, and it must be certain whether a request may have left. A request
that may have left is in doubt and may be paid for twice; a request that has not left is sent again. aiohttp
offers neither by itself.

* **One request.** aiohttp sends a GET a second time if the server closes the connection without an answer.
  :func:`one_request_session` raises :class:`~batcher.zego.call_errors.Unanswered` in place of the
  exceptions on which it repeats (``_REPEATED``).
* **The moment of leaving.** aiohttp calls ``Connector.connect`` just before it writes a request.
  :class:`~batcher.zego.connector.Connector` notes the moment there, for the call in :data:`DEPARTING`.
* **Clean connections.** ``_parser``, ``_buffer``, ``should_close`` and ``closed`` of aiohttp's
  ``ResponseHandler`` show data that the server sent without a request.

A release of aiohttp may rename or bypass any of this. Every lost answer would then be bought again
unnoticed. So :func:`check_departures` sends three real requests over loopback before the first real call,
and an answer to a request that was not seen leaving stops the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

import aiohttp

from batcher.errors import SystemFault, UnseenRequest
from batcher.files import reason_of
from batcher.requirements import pip_install
from batcher.zego.call_errors import Unanswered, words
from batcher.zego.call_trace import Wire

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

DEPARTING: ContextVar[Wire] = ContextVar("departing")
"""The call that the current task is making."""


# -- one request for each call ---------------------------------------------------------------------------

_REPEATED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""The exceptions on which aiohttp sends a GET again. Before the first byte has left, that is harmless."""


def one_request_session(
    connector: aiohttp.TCPConnector, hung_up: Callable[[Wire], None]
) -> aiohttp.ClientSession:
    """Return a session that sends one request for each call in :data:`DEPARTING`.

    Args:
        connector: the session's connections.
        hung_up: called with a call whose connection ended in place of an answer.
    """

    async def once(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except _REPEATED as exc:
            call = DEPARTING.get()
            if call.sent_at is None:
                raise
            hung_up(call)
            raise Unanswered(words(exc)) from None

    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(once,),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # the transport looks the proxy up once, not in a thread for every request
    )


# -- the state of a connection ---------------------------------------------------------------------------


def is_clean(connection: Connection, *, new: bool) -> bool:
    """Return whether a connection is open and nothing has arrived on it, read or unread."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        return False
    if new and transport.get_extra_info("sslcontext") is not None:
        return True  # unread bytes are session tickets, which follow the handshake
    return not _has_unread(transport)


def has_unrequested_data(connection: Connection) -> bool:
    """Return whether data was read from an idle connection: an answer, or its beginning.

    aiohttp itself ends the parser in this way when a connection closes; the next request gets a new parser.
    """
    protocol = connection.protocol
    if protocol is None or not protocol.is_connected():
        return False
    if protocol.should_close or (parser := protocol._parser) is None:
        return True
    try:
        return parser.feed_eof() is not None
    except Exception:
        return True


def has_second_answer(protocol: ResponseHandler) -> bool:
    """Return whether another answer follows the one that was read."""
    return bool(protocol._buffer)


def _has_unread(transport: asyncio.BaseTransport) -> bool:
    """Return whether the system holds data, the end or an error of a connection that was not read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None or (descriptor := sock.fileno()) < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


# -- the check at start-up -------------------------------------------------------------------------------

EXPECTED = [(1, True), (1, True), (2, True)]
"""The connection of each request, and whether the request was seen leaving. The second connection replaces
one with unrequested data; its request gets no answer and is not repeated."""

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)

_ROOM = 8
"""Descriptors that must be free: a server, two connections with two ends each, and some to spare."""


class _Peer(asyncio.Protocol):
    """A server on loopback that answers two requests and closes the connection on every other one."""

    def __init__(self) -> None:
        self.call: Wire | None = None
        self.requests: list[tuple[int, bool]] = []
        self._transports: list[asyncio.Transport] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"\r\n\r\n"):
            return
        seen = self.call is not None and self.call.sent_at is not None
        self.requests.append((len(self._transports), seen))
        if len(self.requests) <= 2:
            self._transports[-1].write(_ANSWER)
        else:
            self._transports[-1].close()

    def send_unrequested(self) -> None:
        """Send an answer without a request."""
        self._transports[-1].write(_ANSWER)


async def check_departures(session: aiohttp.ClientSession) -> None:
    """Send three requests to a server of our own and compare what it received with :data:`EXPECTED`.

    Without a usable loopback interface there is nothing to compare; an answer to a request that was not
    seen leaving still stops the run.

    Args:
        session: configured as for real calls; it is closed, also when the server cannot start.

    Raises:
        UnseenRequest: aiohttp sends requests in a way that cannot be followed.
        SystemFault: this process may not have enough files open to send requests.
    """
    peer, fault = _Peer(), None
    try:
        async with session:
            _check_room()
            server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
            async with server, session:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                await _get(session, url, peer, Wire())
                await _get(session, url, peer, Wire())
                peer.send_unrequested()
                with contextlib.suppress(Exception):  # the closed connection, under any name
                    await _get(session, url, peer, Wire())
    except OSError:
        return
    except SystemFault:
        raise
    except Exception as exc:  # a changed signature, for example
        fault = exc
    if peer.requests != EXPECTED:
        raise unseen("leave in a way that batcher cannot follow. Nothing was sent to the service") from fault


def _check_room() -> None:
    """Make sure that there are descriptors for the server, both connections and what else a call opens.

    Raises:
        SystemFault: there are not. A connection would fail inside asyncio, where it cannot be told from a
            request that is not seen.
    """
    with contextlib.ExitStack() as stack:
        try:
            for _ in range(_ROOM):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError as exc:
            raise SystemFault(f"no request can be sent: {reason_of(exc)}") from exc


def unseen(what: str) -> UnseenRequest:
    """Return the error for requests that are not seen leaving."""
    return UnseenRequest(
        f"requests of aiohttp {aiohttp.__version__} {what}. Install a version that was tested: "
        + pip_install("aiohttp")
    )


async def _get(session: aiohttp.ClientSession, url: str, peer: _Peer, call: Wire) -> None:
    peer.call = call
    DEPARTING.set(call)
    async with session.get(url, timeout=_TIMEOUT) as response:
        await response.read()
