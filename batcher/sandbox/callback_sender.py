"""The sender of callbacks: takes the pictures of accepted tasks, and calls back when tasks have ended.

`server` starts and stops it; `tasks` notifies it of each task. It is the only part that connects to
anything, and only to the callback address on this machine. Due times, retries included, follow the clock of
the tasks. Callbacks that are due when the sandbox stops are lost, as the vendor's may be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from random import Random
from urllib.parse import quote

import aiohttp

from .callbacks import Json, encoded, signed, snapshot
from .clock import TaskClock
from .fault_shares import drawn
from .faults import CallbackFault
from .settings import SandboxSettings
from .tasks import SandboxTask, Shots, Tasks

MAX_CONCURRENT = 16
TIMEOUT_S = 10.0
_LATE_S = 3600
_UNKNOWN_TASK = f"1500030200-procedurev2-{'0' * 32}tt0"
_INVENTED = '[{"url":"https://pictures.example/invented.jpg","offset":1000}]'


@dataclass(frozen=True, slots=True)
class CallbackSent:
    """One callback that was sent, or withheld on purpose."""

    number: int
    """The number of the callback, from 1 in the order of answers."""
    event: str
    task_id: str
    file_id: str
    fault: CallbackFault | None
    attempt: int
    """1 for the first attempt, 2 to 6 for retries."""
    nonce: str
    status: int | None
    """The receiver's status; None without an answer, or if nothing was sent."""
    body: bytes


@dataclass(frozen=True, slots=True)
class _Due:
    """One callback that is due."""

    fields: Json
    file_id: str
    fault: CallbackFault | None
    attempt: int = 1
    again: tuple[str, str, bytes] | None = None
    """Nonce, Content-Type and bytes of a callback that is sent a second time."""


class CallbackSender:
    """Takes pictures and calls back."""

    def __init__(
        self,
        settings: SandboxSettings,
        tasks: Tasks,
        clock: TaskClock,
        wall: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.url = settings.callbacks.url
        self.sent: deque[CallbackSent] = deque(maxlen=settings.keep_entries)
        self._app_id = settings.app_id
        self._settings = settings.callbacks
        self._pauses_s = settings.callbacks.schedule_s
        self._tasks = tasks
        self._clock = clock
        self._wall = wall
        self._wake_waiters = wake
        self._rng = Random(settings.seed + 3)
        self._numbers, self._order = count(1), count()
        self._due: list[tuple[float, int, _Due | SandboxTask]] = []
        self._taking: set[asyncio.Task[None]] = set()
        self._calling: set[asyncio.Task[None]] = set()
        self._something = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self.take: Callable[[SandboxTask], asyncio.Future[Shots]] | None = None
        """Takes the pictures of a real file."""
        tasks.on_accepted = self._accepted
        clock.on_advance = self._something.set

    async def start(self) -> None:
        """Start sending callbacks that are due."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            # Only this machine is ever called, and its certificate is the receiver's own.
            connector=aiohttp.TCPConnector(ssl=False, limit=MAX_CONCURRENT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._sender = asyncio.create_task(self._send_all(), name="sandbox callbacks")

    async def stop(self) -> None:
        """Stop sending; what is due is lost."""
        running = [*self._taking, *self._calling, *([self._sender] if self._sender else [])]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._sender = None
        self._due.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def post(self, fields: Json, file_id: str) -> None:
        """Send one callback now, and retry by the schedule until it is accepted.

        Raises:
            RuntimeError: there is no callback address, or the sandbox does not serve.
        """
        if self.url is None or self._sender is None:
            raise RuntimeError("no callback can be sent: set callback_url while the sandbox serves")
        fault = self._fault(file_id)
        self._put(self._clock.now_s(), _Due(fields, file_id, fault))
        if fault is CallbackFault.DOUBLED:
            self._put(self._clock.now_s(), _Due(fields, file_id, fault))

    def _accepted(self, task: SandboxTask) -> None:
        """Handle a task that was accepted."""
        if self._sender is None:
            return
        if self._tasks.needs_pictures(task):
            taking = asyncio.create_task(self._take(task), name=f"pictures of {task.task_id}")
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
        elif self.url is not None:
            self._put_ending(task)

    async def _take(self, task: SandboxTask) -> None:
        assert self.take is not None
        task.shots = await self.take(task)
        self._wake_waiters()
        if self.url is not None:
            self._put_ending(task)

    def _put_ending(self, task: SandboxTask) -> None:
        ends_s = self._tasks.ends_s(task)
        if ends_s is not None:
            self._put(ends_s, task)

    def _put(self, due_s: float, due: _Due | SandboxTask) -> None:
        heappush(self._due, (due_s, next(self._order), due))
        self._something.set()

    async def _send_all(self) -> None:
        """Send each callback when it is due, a bounded number concurrently."""
        while True:
            self._something.clear()
            while (
                self._due and self._due[0][0] <= self._clock.now_s() and len(self._calling) < MAX_CONCURRENT
            ):
                self._begin(heappop(self._due)[2])
            wait_s = self._due[0][0] - self._clock.now_s() if self._due else None
            if wait_s is not None and wait_s <= 0:
                wait_s = None  # all slots are in use, and each wakes this loop at its end
            try:
                async with asyncio.timeout(wait_s):
                    await self._something.wait()
            except TimeoutError:
                continue

    def _begin(self, due: _Due | SandboxTask) -> None:
        if isinstance(due, SandboxTask):
            if self.url is not None:
                self.post(snapshot(due, self._callable(due)), due.file_id)
            return
        sending = asyncio.create_task(self._send(due), name=f"callback {due.fields['event']}")
        self._calling.add(sending)
        sending.add_done_callback(self._ended)

    def _ended(self, sending: asyncio.Task[None]) -> None:
        self._calling.discard(sending)
        self._something.set()

    def _callable(self, task: SandboxTask) -> list[tuple[str, int]]:
        """Return the pictures as a callback reports them: always by their address."""
        return [
            (url if "://" in url else f"{self._tasks.base_url}_pictures/{quote(url)}", at_ms)
            for url, at_ms in self._tasks.pictures(task)
        ]

    async def _send(self, due: _Due) -> None:
        """Send a callback once; schedule a retry if it was not accepted."""
        nonce, content_type, body = due.again or self._written(due)
        status = None
        if due.fault is not CallbackFault.LOST:
            status = await self._posted(content_type, body)
        taken = status is not None and 200 <= status < 300
        if taken and due.fault is CallbackFault.REPLAYED and due.again is None:
            self._put(self._clock.now_s(), replace(due, again=(nonce, content_type, body)))
        elif not taken and due.fault is not CallbackFault.LOST and due.attempt <= len(self._pauses_s):
            pause_s = self._pauses_s[due.attempt - 1]
            self._put(self._clock.now_s() + pause_s, replace(due, attempt=due.attempt + 1, again=None))
        self.sent.append(
            CallbackSent(
                number=next(self._numbers),
                event=str(due.fields["event"]),
                task_id=str(due.fields.get("task_id", "")),
                file_id=due.file_id,
                fault=due.fault,
                attempt=due.attempt,
                nonce=nonce,
                status=status,
                body=body,
            )
        )
        self._wake_waiters()

    def _written(self, due: _Due) -> tuple[str, str, bytes]:
        """Sign and write one callback, wrongly if its fault requires it."""
        nonce = f"{self._rng.getrandbits(64):016x}"
        fields, timestamp, secret = dict(due.fields), int(self._wall()), self._settings.secret
        match due.fault:
            case CallbackFault.FORGED:
                secret = f"not {secret}"
            case CallbackFault.LATE:
                timestamp -= _LATE_S
            case CallbackFault.WRONG_TASK:
                fields["task_id"] = _UNKNOWN_TASK
            case CallbackFault.INVENTED:
                fields["snapshot_pic_list"] = _INVENTED
        content_type, body = encoded(
            signed(fields, self._app_id, secret, timestamp, nonce), self._settings.body
        )
        return nonce, content_type, body

    async def _posted(self, content_type: str, body: bytes) -> int | None:
        assert self._session is not None
        headers = {"Content-Type": content_type, "User-Agent": "batcher-sandbox"}
        try:
            async with self._session.post(
                self.url or "", data=body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _fault(self, file_id: str) -> CallbackFault | None:
        if (given := self._settings.by_file.get(file_id)) is not None:
            return given
        name = drawn(self._rng, self._settings.shares)
        return None if name is None else CallbackFault(name)
