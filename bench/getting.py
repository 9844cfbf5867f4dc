"""The bare loop that batcher is compared with: it sends the same requests, 64 at a time.

python bench/getting.py URL COUNT
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import aiohttp

AT_ONCE = 64
FIRST_ID = 1397757890000000000


def urls(endpoint: str, count: int) -> Iterator[str]:
    """As long as batcher's, one for each recording."""
    for n in range(1, count + 1):
        yield (
            f"{endpoint}?Action=MediaThumbnails&Vendor=Tencent&FileId={FIRST_ID + n * 104729}"
            "&Type=SnapshotByTimeOffset&Definition=10&ExtTimeOffsetSet[]=1&ExtTimeOffsetSet[]=2"
            f"&AppId=1234567890&SignatureNonce={n:016x}&Timestamp=1767000000&Signature={n:032x}"
            "&SignatureVersion=2.0"
        )


async def get_all(endpoint: str, count: int) -> None:
    """Ask for everything and read every answer."""
    left = urls(endpoint, count)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def work() -> None:
            for url in left:
                async with session.get(url) as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def main() -> None:
    """Ask for as many as the command line says."""
    endpoint, count = sys.argv[1], int(sys.argv[2])
    asyncio.run(get_all(endpoint, count))


if __name__ == "__main__":
    main()
