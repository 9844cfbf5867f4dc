"""Downloads of pictures: one request for one picture, one value as the result.

Called by :mod:`batcher.fetch.fetcher`. Nothing is sent twice, no redirect is followed, no cookie or password
is used, and nothing is decompressed. A result never holds the address, which may be signed.

A proxy looks up names itself. So a name is looked up here first, and is refused when it leads to an address
that is not public. A name that only the proxy can look up is left to the proxy.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Self

import aiohttp
from yarl import URL

from batcher.fetch.address_guard import AddressGuard, NotPublic, address_of
from batcher.model.outcome import Obstacle
from batcher.model.proxy import Proxy, proxy_for
from batcher.model.task import PictureState
from batcher.zego.call_errors import obstacle_of, words
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
    obstacle: Obstacle | None = None
    """Why no connection can be made, when a person has to act."""


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
        guarded = aiohttp.TCPConnector(
            limit=self._connections, socket_factory=self._addresses.socket, use_dns_cache=False
        )
        self._direct = self._session(guarded)
        self._proxied = self._session(aiohttp.TCPConnector(limit=self._connections))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._direct.close()
        await self._proxied.close()

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # the proxy is chosen here; nothing is read from .netrc
        )

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
        proxy = None
        try:
            address = address_of(url)
            proxy = proxy_for(address)
            if proxy is None:
                async with self._direct.get(address, allow_redirects=False) as response:
                    return await self._read(response)
            if not await self._leads_outside(address):
                return refused(NotPublic().strerror or "")
            async with self._proxied.get(address, allow_redirects=False, proxy=proxy.url) as response:
                return await self._read(response)
        except aiohttp.InvalidURL:
            return refused("its address cannot be read")
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, NotPublic):
                return refused(exc.os_error.strerror or "")
            return _temporary(exc, proxy)
        except aiohttp.ClientPayloadError:
            return Failure(PictureState.BROKEN, "it was cut off")
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            return _temporary(exc, proxy)
        except (ValueError, TypeError, OverflowError) as exc:  # the libraries may raise these on an address
            return refused(f"its address cannot be asked for ({type(exc).__name__})")

    async def _leads_outside(self, address: URL) -> bool:
        """Whether the host of an address, as far as this machine can look it up, is a public one."""
        host = address.raw_host or ""
        return all(map(self._addresses.allow, await look_up(host, address.port or 0)))

    async def _read(self, response: aiohttp.ClientResponse) -> Download:
        status = response.status
        if status == 407:
            return Failure(None, "the proxy refused: HTTP 407", obstacle=Obstacle.PROXY_LOGIN)
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


def _temporary(exc: BaseException, proxy: Proxy | None) -> Failure:
    is_of_proxy = isinstance(exc, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError)
    return Failure(None, _failure(exc, proxy if is_of_proxy else None), obstacle=obstacle_of(exc))


async def look_up(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host; none if this machine cannot look it up."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a timeout is an OSError
        return []
    return [str(one[4][0]) for one in found]


def _failure(exc: BaseException, proxy: Proxy | None) -> str:
    """Return an exception in words that cannot hold an address."""
    text = words(exc, proxy.named if proxy else None)
    return f"its server's answer cannot be read ({text})" if text == type(exc).__name__ else text
