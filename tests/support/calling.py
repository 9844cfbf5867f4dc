"""A caller of the sandbox: signs by its own few lines, not by the client of the project.

A mistake on one side cannot agree with the same mistake on the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Sandbox


class NoAnswerError(Exception):
    """The connection closed without an answer."""


@dataclass(frozen=True)
class Answer:
    """The answer of the sandbox."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def code(self) -> int:
        return int(json.loads(self.text)["Code"])

    @property
    def data(self) -> dict[str, Any]:
        """The vendor's part of a good answer."""
        answer = json.loads(self.text)
        assert answer["Code"] == 0, self.text
        ((_, data),) = answer["Data"].items()
        assert isinstance(data, dict)
        return data


def sign(
    app_id: int = SANDBOX_APP_ID, secret: str = SANDBOX_SERVER_SECRET, at_s: float | None = None
) -> dict[str, str]:
    nonce, timestamp = secrets.token_hex(8), str(int(time.time() if at_s is None else at_s))
    signature = hashlib.md5(f"{app_id}{nonce}{secret}{timestamp}".encode()).hexdigest()
    return {
        "AppId": str(app_id),
        "SignatureNonce": nonce,
        "Timestamp": timestamp,
        "SignatureVersion": "2.0",
        "Signature": signature,
    }


def signed(query: str, changes: Mapping[str, str | None] | None = None) -> str:
    """Add public parameters; `changes` replaces some of them, and None leaves one out."""
    public = {**sign(), **(changes or {})}
    return "&".join([query, *(f"{name}={value}" for name, value in public.items() if value is not None)])


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself after a closed connection."""
    try:
        return await handler(request)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as exc:
        if isinstance(exc, aiohttp.ClientConnectorError):
            raise
        raise NoAnswerError from exc


class Caller:
    """A client that sends each request once, and reads the answer."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, query: str) -> Answer:
        url = URL(f"{self.url}?{query}", encoded=True)
        async with self._session.get(url, allow_redirects=False) as response:
            return Answer(response.status, await response.text(), response.headers)

    async def ask(self, query: str) -> Answer:
        return await self.get(signed(query))

    async def control(self, method: str, path: str) -> Answer:
        async with self._session.request(method, f"{self.url}_sandbox/{path}") as response:
            return Answer(response.status, await response.text(), response.headers)


@contextlib.asynccontextmanager
async def calling(sandbox: Sandbox) -> AsyncIterator[Caller]:
    async with sandbox.serve() as url, aiohttp.ClientSession(middlewares=(_once,)) as session:
        yield Caller(url, session)
