"""A TCP proxy before PostgreSQL that cuts, swallows and delays connections, and loses the n-th COMMIT.

It lives in the test's event loop and reads what a client sends message by message, so that it knows a COMMIT
when it sees one.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

_NEGOTIATIONS = (80877103, 80877104)
"""The codes of requests for encryption, which come before a session begins."""


class Fate(Enum):
    """What becomes of one COMMIT."""

    FORWARD = "forward"
    LOSE_COMMIT = "lose the COMMIT"
    """The connection ends, and the server never gets it."""
    LOSE_ANSWER = "lose its answer"
    """The server commits, and the connection ends before the answer arrives."""
    CUT_AT_ONCE = "cut at once"
    """The COMMIT is passed and both sides are cut at the same moment: the server may still be committing."""
    HOLD = "hold it"
    """Nothing is passed on any more over this connection."""


class TcpProxy:
    """One proxy; it begins as a mere wire.

    Attributes:
        port: where it listens.
        commits: how many COMMITs clients have sent.
        fate_of: decides about each COMMIT, by its number from 1.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.commits = 0
        self.fate_of: Callable[[int], Fate] = lambda _: Fate.FORWARD
        self._target_port = target_port
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[TcpProxy]:
        """Listen on a free port of this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End all connections, with a reset, as a crash of a machine between the two does."""
        for link in list(self._links):
            link.cut()

    def swallow(self) -> None:
        """Accept everything and pass on nothing, until `mend`."""
        self._open.clear()

    def forget_connections(self) -> None:
        """Swallow what the present connections send from now on; new ones are mere wires."""
        for link in self._links:
            link.swallowed = True

    def delay(self, seconds: float) -> None:
        """Pass each piece on so much later, until `mend`."""
        self._delay_s = seconds

    def mend(self) -> None:
        """Be a mere wire again."""
        self._delay_s = 0.0
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, to_server)
        self._links.add(link)
        self._tasks.add(task := asyncio.ensure_future(link.live(reader, theirs)))
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._links.discard(link))

    async def pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Pass on a piece once the wire lets it."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._open.wait()
        writer.write(data)
        await writer.drain()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self, proxy: TcpProxy, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter
    ) -> None:
        self.swallowed = False
        self._is_lost = False
        self._proxy = proxy
        self._writers = (to_client, to_server)
        self._prepared: set[bytes] = set()
        """Names of prepared statements that commit."""
        self._fate = Fate.FORWARD

    def cut(self) -> None:
        """End both sides with a reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def live(self, ours: asyncio.StreamReader, theirs: asyncio.StreamReader) -> None:
        """Pass on both ways until one side ends, or a COMMIT is lost."""
        to_client, to_server = self._writers
        ways = [
            asyncio.ensure_future(self.to_server(ours, to_server)),
            asyncio.ensure_future(self.to_client(theirs, to_client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort() if self._is_lost else writer.close()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.swallowed:
            await asyncio.Event().wait()
        await self._proxy.pass_on(data, writer)

    async def to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the client sends, message by message; ends when a COMMIT is lost."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(8)
                body = await reader.readexactly(struct.unpack("!i", head[:4])[0] - 8)
                await self._pass_on(head + body, writer)
                if struct.unpack("!i", head[4:])[0] not in _NEGOTIATIONS:
                    break
            while True:
                head = await reader.readexactly(5)
                message = head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
                if self._commits(message):
                    self._proxy.commits += 1
                    self._fate = self._proxy.fate_of(self._proxy.commits)
                    self._is_lost = self._fate not in (Fate.FORWARD, Fate.HOLD)
                if self._fate is Fate.HOLD:
                    self.swallowed = True
                if self._fate is Fate.LOSE_COMMIT:
                    return
                await self._pass_on(message, writer)
                if self._fate is Fate.CUT_AT_ONCE and message[:1] in (b"Q", b"S"):
                    return

    async def to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server answers; ends when the answer to a COMMIT is lost."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._fate is Fate.LOSE_ANSWER:
                    return
                await self._pass_on(data, writer)

    def _commits(self, message: bytes) -> bool:
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return body.rstrip(b"\0") == b"COMMIT"
        if kind == b"P":
            name, query = body.split(b"\0")[:2]
            if query == b"COMMIT":
                self._prepared.add(name)
            return False
        return kind == b"B" and body.split(b"\0")[1] in self._prepared
