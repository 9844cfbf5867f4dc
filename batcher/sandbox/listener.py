"""The listening socket: takes requests, has them judged, and delivers the replies, whole or damaged.

`server` starts and stops it. The judging is `service`; a reply's `Delivery` says what happens to it here.
The paths of the control page and of the pictures are passed on and are not part of the service.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from email.utils import formatdate
from random import Random
from urllib.parse import urlencode

from aiohttp import ClientPayloadError, web

from .connections import Connections
from .control import PREFIX, ControlPage
from .pictures import PREFIX as PICTURES_PREFIX
from .pictures import PictureServer
from .request_log import Entry
from .responses import Delivery, Reply
from .service import SandboxService

# Room for many ExtTimeOffsetSet[] values: a request too long for the parser would be missing in the log.
_MAX_LINE_BYTES = 65536
_BACKLOG = 1024


class Listener:
    """Serves HTTP on one address at a time."""

    def __init__(self, service: SandboxService, control: ControlPage, pictures: PictureServer) -> None:
        self.connections_made = 0
        self._settings = service.settings
        self._service = service
        self._control = control
        self._pictures = pictures
        # Its own source: jitter must not move the draws of faults.
        self._jitter = Random(service.settings.seed + 1)
        self._connections: Connections | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, unless it does already; return the address, with the port that was taken.

        Raises:
            OSError: the address is taken, or is not this machine's.
        """
        if self._server is not None:
            return host, port
        connections = Connections(
            self._answer, self._count_connection, self._settings.keepalive_s, max_line_size=_MAX_LINE_BYTES
        )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connections, host, port, backlog=_BACKLOG)
        self._connections = connections
        return host, self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        server, self._server = self._server, None
        connections, self._connections = self._connections, None
        if server is not None:
            server.close()
        if connections is not None:
            await connections.close_all()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one request, have it judged, and deliver the reply."""
        if request.raw_path.startswith(PREFIX):
            return await self._control.answer(request)
        if request.raw_path.startswith(PICTURES_PREFIX):
            return await self._pictures.answer(request)
        if self._settings.jitter_ms:
            await asyncio.sleep(self._jitter.expovariate(1000 / self._settings.jitter_ms))
        body = await _body(request) if request.method == "POST" else b""
        entry, reply = self._service.handle(request.method, request.raw_path, body)
        delay_ms = self._settings.latency_ms + reply.delay_ms
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        return await self._deliver(request, entry, reply)

    async def _deliver(self, request: web.BaseRequest, entry: Entry, reply: Reply) -> web.StreamResponse:
        """Deliver a reply as its delivery says; a client that has disconnected is ignored."""
        response = web.Response(status=reply.status, body=reply.body, headers=self._headers(reply))
        with suppress(ConnectionError):
            match reply.delivery:
                case Delivery.WHOLE:
                    await response.prepare(request)
                    await response.write_eof()
                    self._service.truth.mark_answered(entry)
                    return response
                case Delivery.CUT:
                    await self._cut(request, reply)
                case Delivery.HELD if self._connections is not None:
                    await self._connections.lost(request)
        request.protocol.force_close()
        return response  # aiohttp has no connection for it

    async def _cut(self, request: web.BaseRequest, reply: Reply) -> None:
        """Write half of the body with the length of all of it."""
        headers = self._headers(reply) | {"Content-Length": str(len(reply.body))}
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])

    def _headers(self, reply: Reply) -> dict[str, str]:
        """Add the headers of every answer. The date is the service's, which may be wrong on purpose."""
        return {
            "Content-Type": reply.content_type,
            "Date": formatdate(self._service.clock_s(), usegmt=True),
            "Server": "batcher-sandbox",
            **reply.headers,
        }

    def _count_connection(self) -> None:
        self.connections_made += 1


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body of a POST, of a form of parts as a plain form; an unreadable one is judged so."""
    try:
        if request.content_type == "multipart/form-data":
            return urlencode([(name, str(value)) for name, value in (await request.post()).items()]).encode()
        return await request.read()
    except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError, ClientPayloadError, ValueError):
        return b"{"
