"""The connections of the client: which one a request may use, and the moment at which the request leaves.

Used by :mod:`batcher.zego.transport`. aiohttp reuses a connection as long as it is open. By then the
connection may hold data, which would be read as the answer to the next request, or it may be closing, which
would leave that request in doubt. Both are found here before the request leaves; such a connection is
discarded and another one is used.

A server that has once sent data without a request gets one connection for each request from then on,
because the next unrequested answer may arrive just after a request has left.

``connect`` is the one method of aiohttp that is extended. It is public and documented. aiohttp calls it for
every request that it sends, repeats and redirects included, and writes the request when it returns.
:mod:`batcher.zego.aiohttp_hooks` checks this before the first request.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import aiohttp

from batcher.zego.aiohttp_hooks import DEPARTING, has_second_answer, has_unrequested_data, is_clean
from batcher.zego.call_trace import Wire
from batcher.zego.idle_limit import KEEPALIVE_S, IdleLimit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class Repeated(Exception):
    """A second request of one call; it was stopped before it left."""


class Connector(aiohttp.TCPConnector):
    """Connections that are open and hold no data when a request leaves on them.

    Args:
        limit: the most connections.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEEPALIVE_S)
        self._idle_since: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        self._idle_limit = IdleLimit()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: Sequence[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's own
    ) -> Connection:
        """Return a connection on which the request of the current call leaves immediately.

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
                await call.leaves()  # may wait, and the connection may close meanwhile
                if self._is_usable(connection, idle_s):
                    return self._departs(connection, call, idle_s)
                if idle_s is None:
                    raise aiohttp.ClientConnectionError("the server spoke or hung up before the request")
            except BaseException:
                connection.close()
                raise
            connection.close()

    def check_answered(self, call: Wire) -> bool:
        """Return whether the answer that a call has read is its own.

        A second answer behind it means that the server sent one of the two without a request. On a new
        connection that is the second one; on a reused connection nothing shows which.
        """
        if call.protocol is None or not has_second_answer(call.protocol):
            return True
        self._idle_limit.forbid()
        return call.idle_s is None

    def hung_up(self, call: Wire) -> None:
        """Learn from a connection that ended in place of an answer."""
        self._idle_limit.answer_lost(call.idle_s)

    def _idle_s(self, connection: Connection) -> float | None:
        """Return how long a connection has been idle; None for a new one."""
        assert connection.protocol is not None
        since = self._idle_since.pop(connection.protocol, None)
        return None if since is None else time.monotonic() - since

    def _is_usable(self, connection: Connection, idle_s: float | None) -> bool:
        if idle_s is None:
            return is_clean(connection, new=True)
        if idle_s > self._idle_limit.longest_s:
            return False
        if has_unrequested_data(connection):
            self._idle_limit.forbid()
            return False
        return is_clean(connection, new=False)

    def _departs(self, connection: Connection, call: Wire, idle_s: float | None) -> Connection:
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
        """Note since when a connection is idle; aiohttp closes it immediately if the call has failed."""
        if not protocol.should_close:
            self._idle_since[protocol] = since = time.monotonic()
            asyncio.get_running_loop().call_soon(self._forget_if_closed, protocol, since)

    def _forget_if_closed(self, protocol: ResponseHandler, since: float) -> None:
        if not protocol.is_connected() and self._idle_since.get(protocol) == since:
            del self._idle_since[protocol]

    def _ended(self, protocol: ResponseHandler, closed: asyncio.Future[None]) -> None:
        """Learn how long the server keeps idle connections, if it has closed an idle one."""
        if not closed.cancelled():
            closed.exception()  # marks it as retrieved
        since = self._idle_since.pop(protocol, None)
        if since is not None:
            self._idle_limit.server_closed(time.monotonic() - since)
