"""The record of one request while it is in flight: whether it may have left, and what it met on its way.

Created by the callers of :class:`~batcher.zego.client.ZegoClient`, filled in by the transport and the
connector. ``sent_at`` must be set before the first byte can leave: the retry policy sends a request again
only if it is None.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse

from batcher.zego import wire
from batcher.zego.headers import server_time

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler


class HeldBack(Exception):
    """A request that was ready to leave and must not leave any more."""


class Leg(Enum):
    """The part of the way on which an unanswered call ended."""

    NAME = "name"
    """The name of the host, or of the proxy, was not found."""
    CONNECTION = "connection"
    """No connection was made."""
    PROXY = "proxy"
    """The proxy refused to connect."""
    TLS = "tls"
    """TLS failed: no common protocol, or a bad certificate."""
    ANSWER = "answer"
    """The connection was made, and no answer came."""


@dataclass(slots=True)
class CallTrace:
    """The details of one call, for ``batcher check``."""

    address: str | None = None
    """The address of the host, or of the proxy, that was connected to."""
    certificate: Mapping[str, Any] | None = None
    """The verified certificate, as :meth:`ssl.SSLSocket.getpeercert` returns it; None without TLS."""
    sent_at: float | None = None
    """Unix seconds by this machine's clock, before the first byte left."""
    answered_at: float | None = None
    """Unix seconds by this machine's clock, when the head of the answer had arrived."""
    server_time: float | None = None
    """The answer's ``Date`` in whole Unix seconds; None without one."""
    ended_at: Leg | None = None
    """The leg on which the call ended without an answer."""

    def connected(self, transport: asyncio.BaseTransport | None) -> None:
        """Note the connection."""
        if transport is not None:
            peer = transport.get_extra_info("peername")
            self.address = str(peer[0]) if isinstance(peer, tuple) else None
            self.certificate = transport.get_extra_info("peercert")
        self.sent_at = time.time()

    def answered(self, response: ClientResponse) -> None:
        """Note the head of the answer."""
        self.answered_at = time.time()
        self.server_time = server_time(response.headers.get("Date"))


@dataclass(slots=True)
class Wire:
    """One request on its way."""

    may_leave: Callable[[], Awaitable[bool]] | None = None
    """Asked just before the first byte, which may be long after the call began. If False, nothing is sent."""
    sent_at: float | None = None
    """Unix seconds at which the first byte may have left; None as long as no byte can have left."""
    seen: CallTrace | None = None
    """The details of the call, for callers that need them."""
    alone: bool = False
    """Close the connection afterwards, because the server may be closing it at that moment."""
    protocol: ResponseHandler | None = None
    """The connection, set by the connector."""
    idle_s: float | None = None
    """How long the connection was idle before this request; None for a new connection."""
    max_body_bytes: int = wire.MAX_BODY_BYTES
    """A longer answer is not one of the service's."""
    body: bytes = b""
    """The body of the answer, for calls that need more than an outcome."""

    async def leaves(self) -> None:
        """Ask for permission to leave.

        Raises:
            HeldBack: the request must not leave.
        """
        if self.may_leave is not None and not await self.may_leave():
            raise HeldBack

    def left(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that the first byte is about to be handed to the connection."""
        if self.seen is not None:
            self.seen.connected(transport)
        self.sent_at = time.time()
