"""Downloads of pictures: one request for one picture, one value as the result.

Called by :mod:`batcher.fetch.fetcher`. Nothing is sent twice, no redirect is followed, no proxy, cookie or
password is used, and nothing is decompressed. A result never holds the address, which may be signed.
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
MAX_RETRY_AFTER_S = 30.0

_PART_BYTES = 1 << 16
_PASSING = frozenset({408, 425, 429})
"""Temporary refusals, like every 5xx."""


@dataclass(frozen=True, slots=True)
class Body:
    """The content of the address."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The address is never requested, or its content is not accepted."""

    why: str


@dataclass(frozen=True, slots=True)
class Absence:
    """The server reports that the picture does not exist, or denies access."""

    why: str


@dataclass(frozen=True, slots=True)
class CutOff:
    """The connection ended in the middle of the picture."""

    why: str = "it was cut off"


@dataclass(frozen=True, slots=True)
class TemporaryFailure:
    """No answer, or a temporary refusal."""

    why: str
    retry_after_s: float | None = None


Download = Body | Refusal | Absence | CutOff | TemporaryFailure


class PictureSource:
    """Downloads over one pool of connections. Use as an async context manager.

    Args:
        addresses: the check of addresses.
        agent: the ``User-Agent``.
        timeout_s: the longest time for one picture, connecting included.
        connections: the most connections.
        most_bytes: the largest size of a picture.
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
            trust_env=False,  # a proxy resolves names itself, which nothing here could check
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    def server_of(self, url: str) -> str:
        """Return the server of an address: scheme, host and port."""
        parsed = address_of(url)
        return f"{parsed.scheme}://{parsed.host}:{parsed.port}"

    def refusal(self, url: str) -> Refusal | None:
        """Return why an address is never requested; None if it may be."""
        why = self._addresses.refusal(url)
        return None if why is None else Refusal(why)

    async def get(self, url: str) -> Download:
        """Send one request to an address that is not refused."""
        try:
            async with self._session.get(address_of(url), allow_redirects=False) as response:
                return await self._read(response)
        except aiohttp.InvalidURL:
            return Refusal("its address cannot be read")
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, NotPublic):
                return Refusal(exc.os_error.strerror or "")
            return TemporaryFailure(_failure(exc))
        except aiohttp.ClientPayloadError:
            return CutOff()
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            return TemporaryFailure(_failure(exc))
        except (ValueError, TypeError, OverflowError) as exc:  # the libraries may raise these on an address
            return Refusal(f"its address cannot be asked for ({type(exc).__name__})")

    async def _read(self, response: aiohttp.ClientResponse) -> Download:
        status = response.status
        if status in _PASSING or status >= 500:
            return TemporaryFailure(
                f"HTTP {status}",
                retry_after_s(response.headers.get("Retry-After"), time.time, MAX_RETRY_AFTER_S),
            )
        if 300 <= status < 400:
            return Refusal(f"its server redirects (HTTP {status}), and redirects are not followed")
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
        return Refusal(f"it is larger than {self._most_bytes:,} bytes, the limit of --max-bytes")


def _failure(exc: BaseException) -> str:
    """Return an exception in words that cannot hold an address."""
    text = words(exc)
    return f"its server's answer cannot be read ({text})" if text == type(exc).__name__ else text
