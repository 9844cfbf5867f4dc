"""A proxy on this machine that lets nothing pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def refusing_proxy(status: int, asked: list[bytes]) -> AsyncIterator[int]:
    """A proxy that answers every request with one status; yields its port.

    Args:
        status: of the answers.
        asked: gets the head of each request.
    """

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with proxy:
        yield int(proxy.sockets[0].getsockname()[1])
