"""Downloads of pictures: one request for one picture, one value as the result.

Called by :mod:`batcher.fetch.fetcher`. Nothing is sent twice, no redirect is followed, no proxy, cookie or
password is used, and nothing is decompressed. A result never holds the address, which may be signed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Self

import aiohttp

from batcher.fetch.address_guard import AddressGuard, NotPublic, address_of
from batcher.model.task import PictureState
from batcher.zego.call_errors import words
from batcher.zego.headers import retry_after_s

CONNECT_TIMEOUT_S = 10.0
MAX_RETRY_AFTER_S = 30.0

_PART_BYTES = 1 << 16
_PASSING = frozenset({408, 425, 429})
"""Temporary refusals, like every 5xx."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A download without a picture."""

    state: PictureState | None
    """What it makes of the picture: ``refused`` if its address is never requested or its content not
    accepted, ``missing`` if the server says so or denies access, ``broken`` if the connection ended in the
    middle. None without an answer, or after a temporary refusal."""
    why: str
    retry_after_s: float | None = None


def refused(why: str) -> Failure:
    """Return the failure of an address that is never requested, or whose content is not accepted."""
    return Failure(PictureState.REFUSED, why)


Download = bytes | Failure
"""The content of the address, or why there is none."""


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

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def server_of(self, url: str) -> str:
        """Return the server of an address: scheme, host and port."""
        parsed = address_of(url)
        return f"{parsed.scheme}://{parsed.host}:{parsed.port}"

    def refusal(self, url: str) -> Failure | None:
        """Return why an address is never requested; None if it may be."""
        why = self._addresses.refusal(url)
        return None if why is None else refused(why)

    async def get(self, url: str) -> Download:
        """Send one request to an address that is not refused."""
        try:
            async with self._session.get(address_of(url), allow_redirects=False) as response:
                return await self._read(response)
        except aiohttp.InvalidURL:
            return refused("its address cannot be read")
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, NotPublic):
                return refused(exc.os_error.strerror or "")
            return Failure(None, _failure(exc))
        except aiohttp.ClientPayloadError:
            return Failure(PictureState.BROKEN, "it was cut off")
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            return Failure(None, _failure(exc))
        except (ValueError, TypeError, OverflowError) as exc:  # the libraries may raise these on an address
            return refused(f"its address cannot be asked for ({type(exc).__name__})")

    async def _read(self, response: aiohttp.ClientResponse) -> Download:
        status = response.status
        if status in _PASSING or status >= 500:
            asked_s = retry_after_s(response.headers.get("Retry-After"), time.time, MAX_RETRY_AFTER_S)
            return Failure(None, f"HTTP {status}", asked_s)
        if 300 <= status < 400:
            return refused(f"its server redirects (HTTP {status}), and redirects are not followed")
        if status != 200:
            return Failure(PictureState.MISSING, f"HTTP {status}")
        if (response.content_length or 0) > self._most_bytes:
            return self._too_large()
        body = bytearray()
        async for part in response.content.iter_chunked(_PART_BYTES):
            body += part
            if len(body) > self._most_bytes:
                return self._too_large()
        return bytes(body)

    def _too_large(self) -> Failure:
        return refused(f"it is larger than {self._most_bytes:,} bytes, the limit of --max-bytes")


def _failure(exc: BaseException) -> str:
    """Return an exception in words that cannot hold an address."""
    text = words(exc)
    return f"its server's answer cannot be read ({text})" if text == type(exc).__name__ else text
