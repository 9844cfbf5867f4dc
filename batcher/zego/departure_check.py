"""The check that requests are seen leaving: three real ones over loopback, before the first real call.

Whether a request can have left decides between sending again and doubt, and the code that notices it extends
the client library. A release of that library may rename or bypass the method. Every lost answer would then be
bought again unnoticed, so nothing is sent before this check has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

import aiohttp

from batcher.errors import UnseenRequest
from batcher.requirements import pip_install
from batcher.zego.connector import DEPARTING, Departing

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)

EXPECTED = [(1, True), (1, True), (2, True)]
"""Connection of each request, and whether it was seen leaving: the second connection replaces one with
surplus data, and its request, which is not answered, is not repeated."""


class _Peer(asyncio.Protocol):
    """A server on loopback that answers two requests and hangs up on every other one."""

    def __init__(self) -> None:
        self.call: Departing | None = None
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

    def send_surplus(self) -> None:
        """Send an answer that nobody has asked for."""
        self._transports[-1].write(_ANSWER)


async def check_departures(session: aiohttp.ClientSession, new_call: Callable[[], Departing]) -> None:
    """Send three requests to a server of our own and compare what it saw with :data:`EXPECTED`.

    Without a usable loopback interface there is nothing to compare; an answer to a request that was not seen
    leaving still stops the run.

    Args:
        session: as real calls use it; it is closed.
        new_call: makes a call without conditions.

    Raises:
        UnseenRequest: the client library does not send requests in a way that can be followed.
    """
    peer, fault = _Peer(), None
    try:
        async with session:
            server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
            async with server, session:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                await _get(session, url, peer, new_call())
                await _get(session, url, peer, new_call())
                peer.send_surplus()
                with contextlib.suppress(Exception):  # hung up on, whatever the library calls that
                    await _get(session, url, peer, new_call())
    except OSError:
        return
    except Exception as exc:  # a changed signature, say
        fault = exc
    if peer.requests != EXPECTED:
        raise unseen("leave in a way that batcher cannot follow. Nothing was sent to the service") from fault


def unseen(what: str) -> UnseenRequest:
    """Return the error for requests that are sent unseen."""
    return UnseenRequest(
        f"requests of aiohttp {aiohttp.__version__} {what}. Install a version that was tested: "
        + pip_install("aiohttp")
    )


async def _get(session: aiohttp.ClientSession, url: str, peer: _Peer, call: Departing) -> None:
    peer.call = call
    DEPARTING.set(call)
    async with session.get(url, timeout=_TIMEOUT) as response:
        await response.read()
