"""One request for one picture: what came, or why nothing did.

Between the flow that fetches and the network. Nothing is sent twice here, no redirect is followed, no proxy,
cookie or password used, and nothing is unpacked. What comes back is a value without the address in it, which
may be signed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from batcher.fetch.address_guard import AddressGuard, NotPublic, address_of
from batcher.zego.call_errors import words
from batcher.zego.headers import retry_after_s

CONNECT_TIMEOUT_S = 10.0
MOST_RETRY_AFTER_S = 30.0

_PART_BYTES = 1 << 16
_PASSING = frozenset({408, 425, 429})
"""Refusals of a moment; so is every 5xx."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is at the address."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """We do not go there, or do not take what is there."""

    why: str


@dataclass(frozen=True, slots=True)
class Absence:
    """The server says that it is not there, or not for us."""

    why: str


@dataclass(frozen=True, slots=True)
class Torn:
    """It began to come, and its connection ended before it did."""

    why: str = "it was cut off on its way"


@dataclass(frozen=True, slots=True)
class Hitch:
    """No answer, or one that may be another a moment later."""

    why: str
    retry_after_s: float | None = None


Got = Body | Refusal | Absence | Torn | Hitch


class PictureSource:
    """Asks for pictures, over one pool of connections. Use as an async context manager.

    Args:
        addresses: where it goes.
        agent: what it calls itself.
        timeout_s: how long one picture may take, connecting included.
        connections: how many there may be.
        most_bytes: of one picture.
    """

    def __init__(
        self, addresses: AddressGuard, agent: str, *, timeout_s: float, connections: int, most_bytes: int
    ) -> None:
        self._addresses = addresses
        self._headers = {"User-Agent": agent, "Accept": "image/*", "Accept-Encoding": "identity"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._connections = connections
        self._most_bytes = most_bytes

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, socket_factory=self._addresses.socket, use_dns_cache=False
            ),
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # what a proxy looks up for us, nobody here can check
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    def server_of(self, url: str) -> str:
        """Who would be asked: by it pictures of one server are told from others'."""
        parsed = address_of(url)
        return f"{parsed.scheme}://{parsed.host}:{parsed.port}"

    def refusal(self, url: str) -> Refusal | None:
        """Why an address is not asked at all; None when it is."""
        why = self._addresses.refusal(url)
        return None if why is None else Refusal(why)

    async def get(self, url: str) -> Got:
        """Ask once, at an address that is not refused."""
        try:
            async with self._session.get(address_of(url), allow_redirects=False) as response:
                return await self._read(response)
        except aiohttp.InvalidURL:
            return Refusal("its address cannot be read")
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, NotPublic):
                return Refusal(exc.os_error.strerror or "")
            return Hitch(_failure(exc))
        except aiohttp.ClientPayloadError:
            return Torn()
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            return Hitch(_failure(exc))
        except (ValueError, TypeError, OverflowError) as exc:  # what the libraries make of an odd address
            return Refusal(f"its address cannot be asked for ({type(exc).__name__})")

    async def _read(self, response: aiohttp.ClientResponse) -> Got:
        status = response.status
        if status in _PASSING or status >= 500:
            return Hitch(
                f"HTTP {status}",
                retry_after_s(response.headers.get("Retry-After"), time.time, MOST_RETRY_AFTER_S),
            )
        if 300 <= status < 400:
            return Refusal(f"its server sends us elsewhere (HTTP {status}), and that is not followed")
        if status != 200:
            return Absence(f"HTTP {status}")
        if (response.content_length or 0) > self._most_bytes:
            return self._too_large()
        body = bytearray()
        async for part in response.content.iter_chunked(_PART_BYTES):
            body += part
            if len(body) > self._most_bytes:
                return self._too_large()
        return Body(bytes(body))

    def _too_large(self) -> Refusal:
        return Refusal(f"it is larger than {self._most_bytes:,} bytes; --max-bytes sets the limit")


def _failure(exc: BaseException) -> str:
    """Return an exception in words that cannot hold an address."""
    text = words(exc)
    return f"its server's answer cannot be read ({text})" if text == type(exc).__name__ else text
