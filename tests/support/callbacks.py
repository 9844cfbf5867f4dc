"""Callbacks as the service sends them, and the command that receives them."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha1
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from batcher.sandbox import SANDBOX_CALLBACK_SECRET, CallbackSettings, SandboxSettings
from support.cli import Cli, Done, Process

Json = dict[str, Any]

SECRET = SANDBOX_CALLBACK_SECRET

SECRET_GIVEN = {"BATCHER_CALLBACK_SECRET": SECRET}

NONCES = count(1)


@dataclass
class Listener:
    """A running listener, and all its output."""

    url: str
    process: Process
    said: list[Json]
    done: Done | None = None

    @property
    def events(self) -> list[str]:
        """The events that it has emitted for programs, by name."""
        return [str(one["event"]) for one in self.said]


@asynccontextmanager
async def listening(
    cli: Cli, *args: str | Path, env: dict[str, str] | None = None
) -> AsyncIterator[Listener]:
    """A listener; at the end it is stopped gracefully, and its output must not hold its secret."""
    process = await cli.start(
        "listen", "--port", "0", "--log-format", "json", *args, env={**SECRET_GIVEN, **(env or {})}
    )
    said: list[Json] = []
    listener = Listener("", process, said)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(90):
            while line := (await process.stderr.readline()).decode():
                said.append(json.loads(line))
                if (text := str(said[-1].get("text", ""))).startswith("Listening"):
                    listener.url = text.split()[3]
                    break
            else:
                raise AssertionError(said)
        yield listener
    finally:
        process.send_signal(signal.SIGTERM)
        listener.done = done = await cli.finish(process)
        said += [json.loads(line) for line in done.stderr.splitlines()]
    assert done.code == 143, said
    assert SECRET not in json.dumps(said)
    assert [
        path for path in cli.folder.iterdir() if path.is_file() and SECRET.encode() in path.read_bytes()
    ] == []


def sealed(fields: Json, *, secret: str = SECRET, at: float | None = None, nonce: str | None = None) -> Json:
    """A callback with its signature."""
    timestamp, nonce = str(int(time.time() if at is None else at)), nonce or f"n{next(NONCES)}"
    signature = sha1("".join(sorted([secret, timestamp, nonce])).encode()).hexdigest()
    return {**fields, "timestamp": timestamp, "nonce": nonce, "signature": signature}


def record(file_id: str) -> Json:
    """A callback about a recording at Tencent."""
    return {"event": "record", "stream_alias": "s-1", "extra_params": {"FileID": file_id, "Duration": 9}}


async def post(url: str, body: Json | bytes, **more: Any) -> tuple[int, str]:  # noqa: ANN401 - of aiohttp
    """Send a callback; the answer's status and text."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(url, data=data, **more) as answer:
        return answer.status, await answer.text()


def callbacks(**more: Any) -> SandboxSettings:  # noqa: ANN401 - of the sandbox
    """A sandbox that sends callbacks, once it has their address."""
    own = {name: more.pop(name) for name in ("body", "by_file", "shares") if name in more}
    return SandboxSettings(rate_per_s=None, callbacks=CallbackSettings(secret=SECRET, **own), **more)


def snapshot(task_id: str = "t-1", **more: object) -> Json:
    """A callback about an ended task."""
    return {"event": "snapshot", "task_id": task_id, "vendor": "tencent", "snapshot_pic_list": "[]", **more}
