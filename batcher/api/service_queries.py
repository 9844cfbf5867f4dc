"""The connection to the service for queries that cost nothing: searches and look-ups of recordings.

Called by ``api/discover`` and ``api/verify_ids``; ``api/listen`` uses the check of the account. Searches have
a rate limit of their own, which every search of this machine shares.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from batcher.config.endpoints import endpoint_of, place_of
from batcher.config.secrets import secret_of
from batcher.config.settings import shown_value
from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import SettingsError
from batcher.flowcontrol.machine_limit import Action, LimitKey, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.model.events import OnEvent
from batcher.model.submission import EndpointKind
from batcher.zego.client import Account, ZegoClient

SEARCH_CONNECTIONS = 16
"""Searches in flight at most."""


class ServiceAddress:
    """An account, an endpoint and how it may be called, checked.

    Args:
        account: the account whose calls these are.
        endpoint: the service's URL; plain ``http`` only for this machine's own addresses.
        rate_per_s: calls per second at most.
        timeout_s: how long one call may take.

    Raises:
        SettingsError: a value cannot be used; all of them are named.
    """

    def __init__(self, account: Account, endpoint: str, *, rate_per_s: float, timeout_s: float) -> None:
        problems = []
        secret = account.server_secret
        if type(account.app_id) is not int or not 0 < account.app_id < 2**32:
            problems.append("app_id: give the number that the ZEGO console shows")
        try:
            secret = secret_of(secret)
        except ValueError as exc:
            problems.append(f"server_secret: {exc}")
        try:
            endpoint = endpoint_of(endpoint)
        except ValueError as exc:
            problems.append(f"endpoint{shown_value(endpoint)}: {exc}")
        for name, number in (("rate_per_s", rate_per_s), ("timeout_s", timeout_s)):
            if not 0 < number < math.inf:
                problems.append(f"{name} {number:g}: give a number above 0")
        if problems:
            raise SettingsError(*problems)
        self.account = replace(account, server_secret=secret)
        self.endpoint = endpoint
        self.rate_per_s = rate_per_s
        self.timeout_s = timeout_s

    def client(self, connections: int) -> ZegoClient:
        """A client of this service; use it as an async context manager."""
        return ZegoClient(self.endpoint, self.account, timeout_s=self.timeout_s, connections=connections)

    @property
    def endpoint_kind(self) -> EndpointKind:
        """The kind of service that the endpoint is."""
        return place_of(self.endpoint)

    def limit(self, action: Action) -> LimitKey:
        """The rate limit of an Action that calls of this account count towards."""
        return LimitKey.of(self.account.app_id, action, self.endpoint)


@asynccontextmanager
async def search_client(
    service: ServiceAddress, on_event: OnEvent
) -> AsyncIterator[tuple[ZegoClient, RetryingQuery]]:
    """Open a client and the query that sends its searches within their rate limit."""
    window = window_for(service.limit(Action.SEARCH), service.rate_per_s)
    async with service.client(SEARCH_CONNECTIONS) as client:
        yield client, RetryingQuery(Pacer(service.rate_per_s, time.monotonic, window=window), on_event)
