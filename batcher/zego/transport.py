"""Calls of the service: one call, one request, one outcome.

Base of :class:`~batcher.zego.client.ZegoClient`. A call signs its query, sends it and returns an outcome,
never an exception. If no answer came, the outcome states whether the request can have arrived. Nothing is
sent twice, waits for a turn, or decides about retries here. Outcomes never hold a secret, a signed URL or
an exception's own text.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import ClientResponse
from yarl import URL

from batcher.model.account import Account
from batcher.model.outcome import HELD_BACK, Answer, Outcome, ReplyLost
from batcher.model.proxy import proxy_for
from batcher.model.submission import Vendor
from batcher.zego import wire
from batcher.zego.aiohttp_hooks import DEPARTING, check_departures, one_request_session, unseen
from batcher.zego.call_errors import leg_of, without_answer
from batcher.zego.call_trace import HeldBack, Wire
from batcher.zego.connector import Connector
from batcher.zego.headers import retry_after_s, server_time
from batcher.zego.signature import SIGNATURE_VERSION, signature

SIGNATURE_EXPIRED = 100000004

CONNECT_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 5.0
CLOCK_JUMP_S = 60.0
"""A learned clock offset that is wrong by more shows that this machine's clock has jumped since."""


_checked = False
"""Whether this process has checked that it sees requests leaving."""


def _session(connector: Connector) -> aiohttp.ClientSession:
    return one_request_session(connector, connector.hung_up)


class Caller:
    """Calls of one account at one endpoint, over one pool of connections.

    Args:
        endpoint: the address of the service, such as ``https://rtc-api.zego.im/``.
        account: signs the calls.
        timeout_s: the longest time of a call, connecting included.
        connections: the most connections.
        clock: Unix seconds, the time of signatures.

    Attributes:
        proxy: on the way to the endpoint; None when there is none.

    Raises:
        SettingsError: the proxy that the environment names cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        account: Account,
        *,
        timeout_s: float,
        connections: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = endpoint
        self._account = account
        self._clock = clock
        self._clock_offset_s = 0.0
        self._nonces = _nonces()
        self.proxy = proxy_for(endpoint)
        self._timeout = _timeout(timeout_s)
        self._probe_timeout = _timeout(min(timeout_s, PROBE_TIMEOUT_S))
        self._connector = Connector(connections)
        self._session = _session(self._connector)

    async def __aenter__(self) -> Self:
        global _checked
        if not _checked:
            try:
                await check_departures(_session(Connector(1)))
            except BaseException:
                await self._session.close()
                raise
            _checked = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def _call(
        self,
        query: str,
        vendor: Vendor | None,
        on_wire: Wire,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> Outcome:
        offset_s = self._clock_offset_s
        url = URL(f"{self._endpoint}?{query}&{self._public()}", encoded=True)
        status: int | None = None
        DEPARTING.set(on_wire)
        try:
            async with self._session.get(
                url,
                allow_redirects=False,
                proxy=self.proxy.url if self.proxy else None,
                timeout=limits or self._timeout,
            ) as response:
                status = response.status
                if on_wire.seen is not None:
                    on_wire.seen.answered(response)
                content = response.content
                body = await content.readany()
                while len(body) <= on_wire.max_body_bytes and not content.at_eof():
                    body += await content.readany()
                on_wire.body = body
        except HeldBack:
            return HELD_BACK
        except Exception as exc:  # any exception: the outcome depends only on whether a byte was sent
            if on_wire.seen is not None:
                on_wire.seen.ended_at = leg_of(exc, on_wire)
            if status is None or on_wire.sent_at is not None:
                return without_answer(exc, on_wire, status, self.proxy)
        if on_wire.sent_at is None:
            raise unseen("are answered although they were not seen leaving")
        if not self._connector.check_answered(on_wire):
            return ReplyLost("two answers came to one request", status)
        return self._answered(response, on_wire, vendor, offset_s)

    def _public(self) -> str:
        """Return the public parameters of a call signed now, as a query string that needs no escaping."""
        account, nonce = self._account, next(self._nonces)
        timestamp = int(self._clock() + self._clock_offset_s)
        signed = signature(account.app_id, nonce, account.server_secret, timestamp)
        test = "" if account.is_test is None else f"&IsTest={'true' if account.is_test else 'false'}"
        return (
            f"AppId={account.app_id}&SignatureNonce={nonce}&Timestamp={timestamp}&Signature={signed}"
            f"&SignatureVersion={SIGNATURE_VERSION}{test}"
        )

    def _answered(
        self, response: ClientResponse, on_wire: Wire, vendor: Vendor | None, offset_s: float
    ) -> Outcome:
        status, body = response.status, on_wire.body
        envelope = wire.read_answer(body, vendor) if len(body) <= on_wire.max_body_bytes else None
        succeeded = envelope is not None and envelope.code == 0
        retry_s = None if succeeded else retry_after_s(response.headers.get("Retry-After"), self._clock)
        if envelope is None:
            location = response.headers.get("Location")
            return wire.read_without_code(status, body, location=location, retry_after_s=retry_s)
        corrected = envelope.code == SIGNATURE_EXPIRED and self._learn_clock(response, offset_s)
        return Answer(
            code=envelope.code,
            message=envelope.message,
            request_id=envelope.request_id,
            vendor_request_id=envelope.vendor_request_id,
            task_id=envelope.task_id,
            http_status=status,
            retry_after_s=retry_s,
            clock_corrected=corrected,
            excerpt=wire.excerpt(body) if vendor and succeeded and envelope.task_id is None else "",
        )

    def _learn_clock(self, response: ClientResponse, signed_with_s: float) -> bool:
        """Learn this machine's clock offset from the answer's ``Date``; return False if nothing was learned.

        A request that was already signed with a learned offset teaches a new one only if the clock has
        jumped meanwhile. Otherwise the clock is not the cause.
        """
        now_there = server_time(response.headers.get("Date"))
        if now_there is None:
            return False
        offset_s = now_there - self._clock()
        if signed_with_s and abs(offset_s - signed_with_s) < CLOCK_JUMP_S:
            return False
        self._clock_offset_s = offset_s
        return True


def _nonces() -> Iterator[str]:
    """Yield random nonces of 16 hex digits. Many are drawn together, because each draw is a system call."""
    while True:
        drawn = secrets.token_hex(8 * 256)
        for begin in range(0, len(drawn), 16):
            yield drawn[begin : begin + 16]


def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=min(CONNECT_TIMEOUT_S, total_s))
