"""The HTTP server around the receiver: a bounded number of connections, each for a bounded time.

Called by the ``listen`` command. aiohttp reads the requests; this module decides how long a connection may
last and which one ends when there are too many. A connection that has not sent a whole request must never
keep another one out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from batcher.callbacks.receiver import HEALTH_S, MALFORMED, Receiver

LOG_EVERY_S = 60.0
"""The shortest time between two log lines about a defect: callers can repeat it at will."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Limits of the server: the number of connections, and the life of one."""

    most: int = 256
    """When all are in use, the one that has been silent for the longest time ends."""
    request_s: float = 10.0
    """The longest time for a whole request, from the start of its connection."""
    answer_s: float = 40.0
    """The longest time for a connection after its request: for the ledger and the answer."""


BOUNDS = ConnectionBounds()


@asynccontextmanager
async def serve(
    receiver: Receiver,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    malformed: Callable[[], None] = lambda: None,
    bounds: ConnectionBounds = BOUNDS,
) -> AsyncIterator[str]:
    """Serve a receiver during the block; at its end requests in progress are answered, new ones refused.

    Args:
        receiver: answers requests.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        tls: the certificate; None for plain HTTP.
        malformed: called for each request that is not HTTP.
        bounds: of the connections.

    Yields:
        The server's URL.

    Raises:
        OSError: the address cannot be listened on.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await receiver.answer(request, partial(connections.received, request.protocol))

    loop, server, connections = asyncio.get_running_loop(), web.Server(answer), _OpenConnections(bounds)
    log = _ServerLog(malformed)
    listener = await loop.create_server(
        lambda: _CallerConnection(connections, server, loop, log),
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=bounds.request_s if tls else None,
    )
    try:
        bound = listener.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"{'https' if tls else 'http'}://{shown}:{bound[1]}/"
    finally:
        listener.close()
        await connections.drain()
        await server.shutdown(HEALTH_S)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's server: counts bytes that are not HTTP, logs defects once a minute.

    Args:
        malformed: called for each request that is not HTTP.
    """

    def __init__(self, malformed: Callable[[], None]) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._malformed = malformed
        self._logged_at = -LOG_EVERY_S

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:  # noqa: ANN401 - as logging has it
        """Count or log an error that aiohttp met while it handled a request."""
        if isinstance(exc_info, MALFORMED):
            self._malformed()
        elif (now := time.monotonic()) - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            super().exception(msg, *args, exc_info=exc_info, **more)

    def debug(self, msg: object, *args: object, exc_info: Any = None, **more: Any) -> None:  # noqa: ANN401 - as logging has it
        """Count a request that is not HTTP; aiohttp reports some of them here."""
        if isinstance(exc_info, MALFORMED):
            self._malformed()
        else:
            super().debug(msg, *args, exc_info=exc_info, **more)


class _OpenConnections:
    """The open connections: a bounded number, of which silent ones make room for new ones."""

    def __init__(self, bounds: ConnectionBounds) -> None:
        self.bounds = bounds
        self._silent: dict[asyncio.BaseProtocol, _CallerConnection] = {}
        """Without a whole request, the oldest first."""
        self._answering: set[asyncio.BaseProtocol] = set()
        self._drained = asyncio.Event()
        self._drained.set()

    def opened(self, connection: _CallerConnection) -> None:
        """Note a new connection; end the oldest silent one when there are too many."""
        if len(self._silent) + len(self._answering) >= self.bounds.most:
            next(iter(self._silent.values()), connection).abort()
        self._silent[connection] = connection

    def received(self, protocol: asyncio.BaseProtocol) -> None:
        """Note that a whole request has arrived."""
        if (connection := self._silent.pop(protocol, None)) is not None:
            self._answering.add(connection)
            self._drained.clear()
            connection.end_within(self.bounds.answer_s)

    def closed(self, connection: _CallerConnection) -> None:
        """Note that a connection has ended."""
        self._silent.pop(connection, None)
        self._answering.discard(connection)
        if not self._answering:
            self._drained.set()

    async def drain(self) -> None:
        """End silent connections, and wait until all requests are answered."""
        for connection in list(self._silent.values()):
            connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.bounds.answer_s):
                await self._drained.wait()


class _CallerConnection(web.RequestHandler):
    """One connection: aiohttp's protocol, and a time by which it ends."""

    def __init__(
        self,
        connections: _OpenConnections,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        log: _ServerLog,
    ) -> None:
        options: dict[str, Any] = {"access_log": None, "auto_decompress": False, "logger": log}
        super().__init__(server, loop=loop, **options)
        self._connections = connections
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit."""
        self.end_within(self._connections.bounds.request_s)
        super().connection_made(transport)
        self._connections.opened(self)

    def end_within(self, seconds: float) -> None:
        """Replace the time limit: the connection ends this many seconds from now at the latest."""
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """End the connection immediately."""
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end of the connection."""
        if self._end is not None:
            self._end.cancel()
        self._connections.closed(self)
        super().connection_lost(exc)
