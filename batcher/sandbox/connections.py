"""The open connections of the sandbox.

`listener` serves HTTP through this. It adds to aiohttp's low-level server what a sandbox needs: counting
connections, noticing that a client disconnected while its answer is withheld, and closing immediately.
Bytes that are not an HTTP request get status 400 from aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

# Seconds that closing waits for requests in a simulated delay before it cancels them.
_CLOSING_S = 0.02


class Connections(web.Server):
    """The open connections of one listening period."""

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        on_connection: Callable[[], None],
        keepalive_s: float,
        *,
        max_line_size: int,
    ) -> None:
        super().__init__(
            self._guard, access_log=None, keepalive_timeout=keepalive_s, max_line_size=max_line_size
        )
        self._answer = answer
        self._on_connection = on_connection
        self._held: dict[RequestHandler, asyncio.Future[None]] = {}
        self._serving = 0
        self._idle = asyncio.Event()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        self._on_connection()
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Release a request whose client has disconnected."""
        super().connection_lost(handler, exc)
        self._release(handler)

    async def lost(self, request: web.BaseRequest) -> None:
        """Wait until the client of a request disconnects or `close_all` is called."""
        handler = request.protocol
        if handler.transport is None:
            return
        self._held[handler] = asyncio.get_running_loop().create_future()
        await self._held[handler]

    async def close_all(self) -> None:
        """Close every connection, also those in use."""
        for handler in list(self._held):
            self._release(handler)
        await self.shutdown(_CLOSING_S)
        if self._serving:  # cancelled requests need a few turns of the loop to end
            self._idle.clear()
            await self._idle.wait()

    def _release(self, handler: RequestHandler) -> None:
        held = self._held.pop(handler, None)
        if held is not None and not held.done():
            held.set_result(None)

    async def _guard(self, request: web.BaseRequest) -> web.StreamResponse:
        self._serving += 1
        try:
            return await self._answer(request)
        finally:
            self._serving -= 1
            if not self._serving:
                self._idle.set()
