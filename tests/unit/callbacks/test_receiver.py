"""The receiver and its server, by real requests on loopback, over a ledger in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import aiohttp
import pytest
from support.callbacks import SECRET, post, sealed, snapshot

from batcher.callbacks.acceptance import Acceptance
from batcher.callbacks.http_server import BOUNDS, ConnectionBounds, serve
from batcher.callbacks.receiver import Receiver, content_of
from batcher.errors import LedgerError
from batcher.ledger.callback_events import Taken
from batcher.model.callbacks import Callback, Recorded, Seal
from batcher.model.events import CallbackRefused, CallbackTaken, Event
from batcher.model.submission import EndpointKind, FileId, InvalidRow, Row, Vendor
from batcher.model.task import Effect

NOW = 2_000_000_000


class MemoryLedger:
    """A ledger that keeps callbacks in memory, or fails."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.result: Taken | None = Taken(Effect.CLAIMED)
        self.fault: LedgerError | None = None
        self.release = asyncio.Event()
        self.release.set()
        self.asked = asyncio.Event()

    async def take(
        self, callback: Callback, content: str, row: Row | InvalidRow | None = None
    ) -> Taken | None:
        del callback, row
        self.asked.set()
        await self.release.wait()
        if self.fault is not None:
            raise self.fault
        self.contents.append(content)
        return self.result

    async def bound_to(self) -> tuple[int, EndpointKind] | None:
        if self.fault is not None:
            raise self.fault
        return None


class Served:
    """A receiver that is served, and what it has reported."""

    def __init__(self, url: str, ledger: MemoryLedger, events: list[Event], taken: list[None]) -> None:
        self.url = url
        self.ledger = ledger
        self.events = events
        self.taken = taken


@asynccontextmanager
async def served(bounds: ConnectionBounds = BOUNDS) -> AsyncIterator[Served]:
    """Serve a receiver whose clock stands still."""
    ledger, events, taken = MemoryLedger(), list[Event](), list[None]()
    receiver = Receiver(
        ledger,
        Acceptance(SECRET, max_body_bytes=2048),
        on_event=events.append,
        taken=lambda: taken.append(None),
        clock=lambda: NOW,
    )
    async with serve(receiver, "127.0.0.1", 0, bounds=bounds) as url:
        yield Served(url, ledger, events, taken)


async def test_accepted_callback_is_recorded_before_the_answer() -> None:
    """The answer waits for the ledger, and the event and the signal follow the record."""
    async with served() as it:
        it.ledger.release.clear()
        answer = asyncio.create_task(post(it.url, sealed(snapshot(), at=NOW)))
        await asyncio.wait_for(it.ledger.asked.wait(), 10)
        assert (answer.done(), it.events, it.taken) == (False, [], [])
        it.ledger.release.set()
        assert await answer == (200, "ok\n")
    assert [type(event) for event in it.events] == [CallbackTaken]
    assert (len(it.ledger.contents), it.taken) == (1, [None])


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (sealed(snapshot(), at=NOW, secret="guessed"), 401, "its signature is wrong"),
        (sealed(snapshot(), at=NOW - 601), 401, "its time differs too much from the local clock"),
        (b" " * 2049, 413, "its body is too long"),
        (b"{}", 400, None),
    ],
)
async def test_refused_callback_is_reported_and_gets_no_reason(
    body: dict[str, object] | bytes, status: int, why: str | None
) -> None:
    """The sender gets the status alone; the reason is in the event."""
    async with served() as it:
        assert await post(it.url, body) == (status, "refused\n")
    [event] = it.events
    assert isinstance(event, CallbackRefused)
    assert (event.http_status, event.peer) == (status, "127.0.0.1")
    assert why is None or event.why == why
    assert (it.ledger.contents, it.taken) == ([], [])


async def test_body_without_a_length_is_refused_once_it_is_too_long() -> None:
    """A body in chunks is cut off at the longest accepted length."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    async with (
        served() as it,
        aiohttp.ClientSession() as session,
        session.post(it.url, data=endless()) as answer,
    ):
        assert answer.status == 413


async def test_other_callback_with_the_same_nonce_is_refused() -> None:
    """The ledger has another callback under the nonce and time: this one is not believed."""
    async with served() as it:
        it.ledger.result = None
        assert await post(it.url, sealed(snapshot(), at=NOW)) == (409, "refused\n")
    assert it.taken == []


async def test_ledger_fault_is_answered_with_503() -> None:
    """The service sends the callback again; the health check fails too."""
    async with served() as it, aiohttp.ClientSession() as session:
        it.ledger.fault = LedgerError("disk full")
        async with session.post(it.url, data=json.dumps(sealed(snapshot(), at=NOW))) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        async with session.get(it.url + "healthz") as answer:
            assert (answer.status, await answer.text()) == (503, "the ledger cannot be read\n")


async def test_health_check_is_answered_while_the_ledger_can_be_read() -> None:
    """It needs no signature and is no event."""
    async with (
        served() as it,
        aiohttp.ClientSession() as session,
        session.get(it.url + "healthz") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "ok\n")
    assert it.events == []


async def test_stopping_server_answers_the_request_in_progress() -> None:
    """At the end of the block the request that waits for the ledger is answered."""
    async with served() as it:
        it.ledger.release.clear()
        answer = asyncio.create_task(post(it.url, sealed(snapshot(), at=NOW)))
        await asyncio.wait_for(it.ledger.asked.wait(), 10)
        asyncio.get_running_loop().call_soon(it.ledger.release.set)
    assert await answer == (200, "ok\n")


async def test_silent_connection_makes_room_for_another() -> None:
    """With all connections in use, the one that has been silent for the longest time ends."""
    async with served(ConnectionBounds(most=1)) as it:
        port = int(it.url.rsplit(":", 1)[1].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            assert (await post(it.url, sealed(snapshot(), at=NOW)))[0] == 200
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 10)


async def test_slow_request_ends_with_its_connection() -> None:
    """A body that does not arrive in time gets no success."""
    async with served(ConnectionBounds(request_s=0.1)) as it:
        port = int(it.url.rsplit(":", 1)[1].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 10)


def test_recorded_content_has_no_signature() -> None:
    """The ledger keeps the callback's fields and its AppId; the seal is left out."""
    callback = Recorded(Seal(1, "n", "secret-signature", 7), Vendor.TENCENT, FileId("1"), {"url": "u"})
    assert json.loads(content_of(callback)) == {
        "vendor": "Tencent",
        "file_id": "1",
        "facts": {"url": "u"},
        "app_id": 7,
    }
