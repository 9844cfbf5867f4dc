"""Connections of the client: which one a request may use, and the moment at which it leaves.

The client library hands a kept connection out as long as it is open. It may hold data by then, which would
be read as the answer to the next request, or it may be closing, which would leave that request in doubt. Both
are found out here, before the request leaves; such a connection is discarded and another one is used.

A server that has once sent data without being asked gets one connection for each request from then on,
because the next surplus answer may arrive just after a request has left.

A server may also close an idle connection at the very moment in which a request leaves. How long it keeps
idle connections is learned from those that it closes, and only half of that is used.

``connect`` is the one method of the library that is extended. It is public and documented, the library calls
it for every request that it sends, repeats and redirects included, and writes the request when it returns.
"""

from __future__ import annotations

import asyncio
import select
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


KEEPALIVE_S = 4.0
"""The longest time for which a connection may be idle and still be used."""

SAFE_SHARE = 0.5
"""The share of the server's own limit up to which an idle connection is used."""

IDLE_S = 0.02
"""A server that closes an idle connection sooner keeps none; losing an answer sooner has other reasons."""

NO_TIME_S = 1e-6
"""The limit for a server that keeps none; more than zero, so that it can double."""

REGAIN_S = 300.0
"""The time in which a learned limit doubles, since a server that restarts closes young connections too."""


class Departing(Protocol):
    """What the connector needs of a call."""

    sent_at: float | None
    alone: bool
    protocol: ResponseHandler | None
    idle_s: float | None

    async def leaves(self) -> None:
        """Ask whether the request may leave; raise when it may not."""

    def left(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that the first byte is about to be handed to the connection."""


DEPARTING: ContextVar[Departing] = ContextVar("departing")
"""The call that the current task is making."""


class Repeated(Exception):
    """A second request of one call; it was stopped before it left."""


class Connector(aiohttp.TCPConnector):
    """Connections that are open and hold no data when a request leaves on them.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEEPALIVE_S)
        self._idle_since: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        self._learned_s = KEEPALIVE_S
        self._learned_at = time.monotonic()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: Sequence[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's own
    ) -> Connection:
        """Return a connection on which the request of the current call leaves at once.

        Raises:
            Repeated: the call has sent a request already.
            aiohttp.ClientConnectionError: a new connection held data or was closed. Nothing was sent.
        """
        call = DEPARTING.get()
        if call.sent_at is not None:
            raise Repeated
        while True:
            connection = await super().connect(req, list(traces), timeout)
            idle_s = self._idle_s(connection)
            try:
                if self._is_usable(connection, idle_s):
                    await call.leaves()  # may wait, and the connection may close meanwhile
                    if self._is_usable(connection, idle_s):
                        return self._departs(connection, call, idle_s)
                if idle_s is None:
                    raise aiohttp.ClientConnectionError("the server spoke or hung up before the request")
            except BaseException:
                connection.close()
                raise
            connection.close()

    def check_answered(self, call: Departing) -> bool:
        """Return whether the answer that a call has read is its own.

        A second answer behind it means that one of the two is surplus. On a new connection that is the second
        one; on a kept connection nothing tells which.
        """
        if call.protocol is None or not call.protocol._buffer:
            return True
        self._distrust()
        return call.idle_s is None

    def hung_up(self, call: Departing) -> None:
        """Learn from a connection that ended instead of an answer."""
        if call.idle_s is not None and call.idle_s >= IDLE_S:
            self._learn(call.idle_s)

    def _distrust(self) -> None:
        """Use no connection twice any more."""
        self._learned_s = 0.0

    def _idle_s(self, connection: Connection) -> float | None:
        """Return how long a connection has been idle; None for a new one."""
        assert connection.protocol is not None
        since = self._idle_since.pop(connection.protocol, None)
        return None if since is None else time.monotonic() - since

    def _is_usable(self, connection: Connection, idle_s: float | None) -> bool:
        if idle_s is None:
            return _is_clean(connection, new=True)
        if idle_s > self._longest_idle_s():
            return False
        if _has_surplus(connection):
            self._distrust()
            return False
        return _is_clean(connection, new=False)

    def _departs(self, connection: Connection, call: Departing, idle_s: float | None) -> Connection:
        protocol = connection.protocol
        assert protocol is not None
        call.protocol, call.idle_s = protocol, idle_s
        if idle_s is None and (closed := protocol.closed) is not None:
            closed.add_done_callback(partial(self._ended, protocol))
        connection.add_callback(partial(self._released, protocol))
        if call.alone:
            protocol.force_close()
        call.left(connection.transport)
        return connection

    def _released(self, protocol: ResponseHandler) -> None:
        """Note since when a connection is idle; it is closed at once when the call has failed."""
        if not protocol.should_close:
            self._idle_since[protocol] = since = time.monotonic()
            asyncio.get_running_loop().call_soon(self._stays_open, protocol, since)

    def _stays_open(self, protocol: ResponseHandler, since: float) -> None:
        if not protocol.is_connected() and self._idle_since.get(protocol) == since:
            del self._idle_since[protocol]

    def _ended(self, protocol: ResponseHandler, closed: asyncio.Future[None]) -> None:
        """Learn how long the server keeps idle connections, if it has closed an idle one."""
        if not closed.cancelled():
            closed.exception()  # marks it as retrieved
        since = self._idle_since.pop(protocol, None)
        if since is not None and (idle_s := time.monotonic() - since) < KEEPALIVE_S:
            self._learn(idle_s)

    def _learn(self, idle_s: float) -> None:
        safe_s = idle_s * SAFE_SHARE if idle_s >= IDLE_S else NO_TIME_S
        self._learned_s = min(safe_s, self._longest_idle_s())
        self._learned_at = time.monotonic()

    def _longest_idle_s(self) -> float:
        doublings = min((time.monotonic() - self._learned_at) / REGAIN_S, 64.0)
        return min(self._learned_s * 2**doublings, KEEPALIVE_S)


def _is_clean(connection: Connection, *, new: bool) -> bool:
    """Return whether a connection is open and nothing has arrived on it, read or unread."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        return False
    if new and transport.get_extra_info("sslcontext") is not None:
        return True  # unread bytes are session tickets, which follow the handshake
    return not _has_unread(transport)


def _has_surplus(connection: Connection) -> bool:
    """Return whether an idle connection has read data: an answer, or its beginning.

    The library itself ends the parser in this way when a connection closes; the next request gets a new one.
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


def _has_unread(transport: asyncio.BaseTransport) -> bool:
    """Return whether the system holds data, the end or an error of a connection that was not read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
