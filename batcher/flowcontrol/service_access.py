"""The service as a flow uses it: which account calls which endpoint, and how long one call may take.

Made by the library from what a program or command gives, used by every flow that talks to the service.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batcher.config.endpoints import endpoint_of, place_of
from batcher.config.problems import shown_value
from batcher.errors import SettingsError
from batcher.flowcontrol.limit_key import Action, LimitKey
from batcher.model.account import Account
from batcher.model.proxy import proxy_for
from batcher.model.submission import EndpointKind
from batcher.zego.client import ZegoClient


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """An account, an endpoint and a timeout, checked.

    Raises:
        SettingsError: endpoint, proxy or timeout cannot be used; all of them are named.
    """

    account: Account
    endpoint: str
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        problems = []
        try:
            object.__setattr__(self, "endpoint", endpoint_of(self.endpoint))
        except ValueError as exc:
            problems.append(f"endpoint{shown_value(self.endpoint)}: {exc}")
        else:
            problems += _proxy_problems(self.endpoint)
        if not 0 < self.timeout_s < math.inf:
            problems.append(f"timeout_s {self.timeout_s}: give a number of seconds")
        if problems:
            raise SettingsError(*problems)

    @property
    def endpoint_kind(self) -> EndpointKind:
        """The kind of service that the endpoint is."""
        return place_of(self.endpoint)

    def client(self, connections: int) -> ZegoClient:
        """A client of this service; use it as an async context manager."""
        return ZegoClient(self.endpoint, self.account, timeout_s=self.timeout_s, connections=connections)

    def limit(self, action: Action) -> LimitKey:
        """The rate limit of an Action that calls of this account count towards."""
        return LimitKey.of(self.account.app_id, action, self.endpoint)


def _proxy_problems(endpoint: str) -> tuple[str, ...]:
    try:
        proxy_for(endpoint)
    except SettingsError as exc:
        return exc.lines
    return ()
