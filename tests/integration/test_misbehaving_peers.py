"""Peers that break the rules of a kept connection: every task id goes to its own recording."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.cli import PICTURES, Cli, tencent_ids, write_manifest

from batcher.model.outcome import Answer, NotSent, Outcome, ReplyLost
from batcher.model.submission import FileId, Parameters, SnapshotType, Vendor
from batcher.zego.client import Account, ZegoClient

ASKED = Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", offsets=("1",))


def answer(task_id: str) -> bytes:
    """A whole answer that keeps the connection."""
    body = f'{{"Code":0,"Message":"success","Data":{{"Tencent":{{"TaskId":"{task_id}"}}}}}}'
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


STRAY = answer("stray")

Behaviour = Callable[["Peer", asyncio.StreamWriter, bytes], Awaitable[None]]
"""Sends one answer in its own way."""


class Peer:
    """A raw TCP server that answers each request with a task id of its recording, in its own way."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.extra_sent = asyncio.Event()
        self._behaviour = behaviour
        self.later: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                file_id = dict(parse_qsl(urlsplit(head.split()[1].decode()).query)).get("FileId", "")
                self.requests[file_id] += 1
                await self._behaviour(self, writer, answer(f"task-{file_id}"))
        writer.close()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something on the connection later."""
        asyncio.get_running_loop().call_later(seconds, action)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on loopback; yields the endpoint."""
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write unless the connection is gone."""
    if not writer.is_closing():
        writer.write(data)


async def extra_data_immediately(_: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """A second answer directly behind the first."""
    send(writer, own + STRAY)


async def part_of_extra_data_immediately(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """The first bytes of a second answer behind the first; the rest follows while the connection is idle."""
    send(writer, own + STRAY[:10])
    peer.after(0.03, lambda: send(writer, STRAY[10:]))


async def extra_data_later(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """A second answer while the connection is idle."""
    send(writer, own)
    peer.after(0.005, lambda: send(writer, STRAY))


async def extra_data_once(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """One second answer in all."""
    send(writer, own)
    if peer.requests.total() == 3:
        peer.after(0.005, lambda: send(writer, STRAY))


async def garbage_later(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """Bytes that are no answer while the connection is idle."""
    send(writer, own)
    peer.after(0.005, lambda: send(writer, b"garbage\r\n\r\n"))


async def upgrade_later(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """An unasked switch of protocols while the connection is idle."""
    send(writer, own)
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    peer.after(0.005, lambda: send(writer, switch + STRAY))


async def timeout_notice(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
    """An unasked 408 and the end of the connection, as some proxies send to idle clients."""
    send(writer, own)

    def notify() -> None:
        send(writer, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    peer.after(0.005, notify)


EXTRA_DATA: list[Behaviour] = [
    extra_data_immediately,
    part_of_extra_data_immediately,
    extra_data_later,
    extra_data_once,
    garbage_later,
    upgrade_later,
    timeout_notice,
]


@pytest.mark.parametrize("behaviour", EXTRA_DATA, ids=lambda one: one.__name__)
async def test_task_id_after_extra_data_belongs_to_its_recording(cli: Cli, behaviour: Behaviour) -> None:
    """Each recording has its own task id, and each was sent once."""
    peer, ids = Peer(behaviour), tencent_ids(12)
    archive = write_manifest(cli.folder / "archive.csv", ([one] for one in ids))
    async with peer.listening() as url:
        cli.use(url)
        done = await cli("run", archive, *PICTURES, "--rate", "20", "--progress", "none", "-l", "batcher.db")
    assert done.code == 0, done.stderr
    assert {row["file_id"]: row["task_id"] for row in await cli.export()} == {
        one: f"task-{one}" for one in ids
    }
    assert peer.requests == dict.fromkeys(ids, 1)


async def called(url: str, n: int, *, pause_s: float) -> list[Outcome]:
    """Submit recordings one after the other, with a pause between them."""
    outcomes = []
    async with ZegoClient(url, Account(1, "secret"), timeout_s=5, connections=4) as client:
        for number in range(n):
            outcomes.append(await client.submit(FileId(str(number)), ASKED))
            await asyncio.sleep(pause_s)  # the idle time is the subject
    return outcomes


def own(outcomes: list[Outcome]) -> list[bool]:
    """Whether each outcome is the task of its recording."""
    return [
        isinstance(one, Answer) and one.task_id == f"task-{number}" for number, one in enumerate(outcomes)
    ]


async def test_second_answer_to_one_request_on_kept_connection_leaves_doubt() -> None:
    """Two answers to one request: neither is used, and afterwards no connection is used twice."""

    async def stray_first(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
        send(writer, own if peer.requests.total() == 1 else STRAY + own)

    peer = Peer(stray_first)
    async with peer.listening() as url:
        outcomes = await called(url, 4, pause_s=0)
    assert outcomes[1] == ReplyLost("two answers came to one request", 200)
    assert peer.connections == 3


@pytest.mark.parametrize("data", [STRAY, b"220 hello\r\n"])
async def test_new_connection_with_data_before_request_is_not_used(data: bytes) -> None:
    """The outcome says that nothing was sent, and the server has seen no request."""
    peer = Peer(extra_data_immediately)

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await peer.serve(reader, writer)

    async with await asyncio.start_server(speak_first, "127.0.0.1", 0) as server:
        [outcome] = await called(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", 1, pause_s=0)
    assert isinstance(outcome, NotSent)
    assert peer.requests.total() == 0


def closing_after(seconds: float) -> Behaviour:
    """Answer, and close the connection once it was idle for so long, without a word about it."""
    timers: dict[asyncio.StreamWriter, asyncio.TimerHandle] = {}

    async def behave(_: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
        if writer in timers:
            timers[writer].cancel()
        send(writer, own)
        timers[writer] = asyncio.get_running_loop().call_later(seconds, writer.close)

    return behave


@pytest.mark.parametrize("idle_s", [0.0, 0.01, 0.05])
async def test_short_keepalive_of_server_causes_few_doubts(cli: Cli, idle_s: float) -> None:
    """At 20 a second a server that closes at the pace of the requests costs at most 3 doubts in 100."""
    peer, ids = Peer(closing_after(idle_s)), tencent_ids(100)
    archive = write_manifest(cli.folder / "archive.csv", ([one] for one in ids))
    async with peer.listening() as url:
        cli.use(url)
        done = await cli("run", archive, *PICTURES, "--rate", "20", "--progress", "none", "-l", "batcher.db")
    assert done.code == 0, done.stderr
    assert {row["task_id"] for row in await cli.export()} == {f"task-{one}" for one in ids}
    assert peer.requests.total() <= 103


async def test_call_without_answer_does_not_shorten_keepalive() -> None:
    """A time-out says nothing about idle connections: the next calls share one connection."""

    async def silent_once(peer: Peer, writer: asyncio.StreamWriter, own: bytes) -> None:
        if peer.requests.total() != 2:
            send(writer, own)

    peer = Peer(silent_once)
    async with (
        peer.listening() as url,
        ZegoClient(url, Account(1, "secret"), timeout_s=0.5, connections=4) as client,
    ):
        outcomes = [await client.submit(FileId(str(number)), ASKED) for number in range(6)]
    assert own(outcomes) == [True, False, True, True, True, True]
    assert peer.connections == 2
