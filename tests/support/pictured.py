"""Ledgers with pictures to fetch, and a server on this machine that serves them, or does not."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import web
from PIL import Image

from support.ledger_sql import Sql, writing

ENDED_MS = 1_700_000_000_000


def image(
    colour: tuple[int, int, int] | None = None,
    *,
    size: tuple[int, int] = (64, 48),
    kind: str = "JPEG",
    seed: int = 1,
) -> bytes:
    """A picture: of one colour, or with something to be seen in it."""
    made = Image.new("RGB", size, colour or (40, 90, 160))
    if colour is None:
        rng = Random(seed)
        for _ in range(6):
            left, top = rng.randrange(size[0] // 2), rng.randrange(size[1] // 2)
            patch = tuple(rng.randrange(256) for _ in range(3))
            made.paste(patch, (left, top, left + size[0] // 3, top + size[1] // 3))
    file = io.BytesIO()
    made.save(file, kind)
    return file.getvalue()


def noisy(level: int, *, noise: int = 4, size: tuple[int, int] = (160, 90)) -> bytes:
    """A grey of a level as a camera and JPEG leave it."""
    rng = Random(level)
    made = Image.new("L", size)
    made.putdata([max(0, min(255, level + rng.randint(-noise, noise))) for _ in range(size[0] * size[1])])
    file = io.BytesIO()
    made.convert("RGB").save(file, "JPEG", quality=40)
    return file.getvalue()


@dataclass(frozen=True)
class RecordedTask:
    """One task as the ledger records it."""

    file_id: str
    urls: tuple[str, ...]
    offsets_ms: tuple[int | None, ...] = ()
    vendor: str = "Tencent"
    state: str = "finished"
    polls: int = 1
    closed: bool = True


def finished(file_id: str, *urls: str, vendor: str = "Tencent") -> RecordedTask:
    """A finished task with its pictures."""
    return RecordedTask(file_id, urls, vendor=vendor)


def keep_tasks(ledger: Path, tasks: Iterable[RecordedTask], *, place: str = "other") -> None:
    """Put tasks and their pictures on record, as a tracker would have, each a submission of its own."""
    with writing(ledger) as connection:
        connection.execute(
            "INSERT INTO binding (id, app_id, place) VALUES (1, 12345, ?) ON CONFLICT DO NOTHING",
            (place,),
        )
        connection.execute(
            "INSERT INTO loads (id, source, path, columns, started_at_ms) "
            "VALUES (1, 'a.csv', 'a.csv', '[]', 1) ON CONFLICT DO NOTHING"
        )
        for task in tasks:
            _keep(connection, task)


def _keep(connection: Sql, task: RecordedTask) -> None:
    many = connection.execute(
        "SELECT count(*) FROM submissions WHERE file_id = ?", (task.file_id,)
    ).fetchone()[0]
    asked = (task.vendor, "SnapshotByTimeOffset", str(many), "", "1")
    connection.execute(
        "INSERT INTO parameters (vendor, type, definition, interval, offsets) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        asked,
    )
    parameters = connection.execute(
        "SELECT id FROM parameters WHERE (vendor, type, definition, interval, offsets) = (?, ?, ?, ?, ?)",
        asked,
    ).fetchone()[0]
    number = connection.execute(
        "INSERT INTO submissions (file_id, parameters_id, state, attempts, load_id, line, tracked) "
        "VALUES (?, ?, 'submitted', 1, 1, 1, true) RETURNING id",
        (task.file_id, parameters),
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO tasks (submission_id, task_id, state, submitted_at_ms, polls, due_at_ms, closed_at_ms, "
        "pictures) VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
        (
            number,
            f"task-{number}",
            task.state,
            task.polls,
            None if task.closed else 1,
            ENDED_MS if task.closed else None,
            len(task.urls),
        ),
    )
    offsets = task.offsets_ms or (None,) * len(task.urls)
    connection.executemany(
        "INSERT INTO pictures (submission_id, number, url, offset_ms) VALUES (?, ?, ?, ?)",
        [(number, n, url, offset) for n, (url, offset) in enumerate(zip(task.urls, offsets, strict=True), 1)],
    )


@dataclass
class PictureServer:
    """A server of pictures: bodies by path, and faults instead of them."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Answer with these first, one for each request; the last of them for good when it is negative."""
    cut: set[str] = field(default_factory=set)
    """Ends the connection in the middle."""
    endless: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    unannounced: set[str] = field(default_factory=set)
    """Given out without their length."""
    locations: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    slow: asyncio.Event | None = None
    """Every picture waits for it."""
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, path: str, body: bytes | None = None) -> str:
        """Add a picture; return its address."""
        self.bodies[path] = image(seed=len(self.bodies)) if body is None else body
        return self.url + path

    @property
    def times(self) -> Counter[str]:
        """The number of requests for each path."""
        return Counter(self.asked)

    async def until_asked(self, n: int) -> None:
        """Wait for a number of requests."""
        async with asyncio.timeout(90):
            while len(self.asked) < n:
                self.seen.clear()
                await self.seen.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path_qs
        self.asked.append(path)
        self.headers.append(dict(request.headers))
        self.seen.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.slow is not None:
                await self.slow.wait()
            return await self._answer(request, path)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path in self.hanging:
            await asyncio.Event().wait()
        if planned := self.statuses.get(path):
            status = -planned[0] if planned[0] < 0 else planned.pop(0)
            return web.Response(status=status, headers={"Location": self.locations.get(path, "/")})
        body = self.bodies.get(path)
        if body is None:
            return web.Response(status=404, text="none")
        if path in self.endless:
            return await self._pour(request)
        if path in self.cut or path in self.unannounced:
            return await self._part(request, body, cut=path in self.cut)
        return web.Response(body=body, content_type="image/jpeg")

    async def _part(self, request: web.Request, body: bytes, *, cut: bool) -> web.StreamResponse:
        response = web.StreamResponse()
        if cut:
            response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2] if cut else body)
        if cut and request.transport is not None:
            request.transport.close()
        return response

    async def _pour(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"\xff" * 65536)
        return response


@asynccontextmanager
async def serving_pictures(port: int = 0) -> AsyncIterator[PictureServer]:
    """Serve on this machine."""
    server = PictureServer()
    runner = web.ServerRunner(web.Server(server.answer), handler_cancellation=True, shutdown_timeout=0.1)  # type: ignore[arg-type] # a request is a request
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
