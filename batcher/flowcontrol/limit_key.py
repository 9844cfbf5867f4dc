"""Keys of rate limits: which requests the service counts together.

Called by the commands and the library, which make a key for each Action they use. Two processes share a limit
only if both make the same key, so its file name must stay the same between versions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from batcher.config.endpoints import is_loopback, place_of
from batcher.model.submission import EndpointKind

LIMIT_PER_S = 20.0
"""Of each Action, over everything that shares the AppId. Source: ZEGO server API, "Accessing server APIs"."""


class Action(StrEnum):
    """The calls that the service counts separately."""

    SUBMIT = "MediaThumbnails"
    POLL = "DescribeMediaTask"
    SEARCH = "SearchMedia"


@dataclass(frozen=True, slots=True)
class LimitKey:
    """The AppId, Action and service that one limit belongs to."""

    app_id: int
    action: Action
    service: str
    """``zego`` for all hosts of the service; host and port of any other endpoint."""

    @classmethod
    def of(cls, app_id: int, action: Action, endpoint: str) -> LimitKey:
        """Return the key of the limit that calls to an endpoint count towards."""
        if place_of(endpoint) is EndpointKind.ZEGO:
            return cls(app_id, action, EndpointKind.ZEGO.value)
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(app_id, action, f"{'loopback' if is_loopback(host) else host}:{port}")

    @property
    def file_name(self) -> str:
        """The beginning of the names of the files that processes share for this limit."""
        text = f"{self.app_id}/{self.action}/{self.service}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]
