"""How commands ask the service for what costs nothing: who asks, at which pace, and of which time.

Between the settings and an :class:`~batcher.discover.retrying_query.RetryingQuery`. It asks nothing by
itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from batcher.cli.terminal.console import Console
from batcher.config.account import account_of
from batcher.config.settings import Settings
from batcher.discover.retrying_query import RetryingQuery
from batcher.errors import SettingsError
from batcher.flowcontrol.machine_limit import Action, LimitKey, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.model.submission import Archive
from batcher.zego.client import Account, ZegoClient

SPARE_CONNECTIONS = 16
"""Searches under way at once, at most."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_UNITS_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@asynccontextmanager
async def asking(settings: Settings, console: Console) -> AsyncIterator[tuple[ZegoClient, RetryingQuery]]:
    """A client and what asks by it, within the limit of searches, which the service counts by themselves.

    Raises:
        SettingsError: AppId or ServerSecret are missing.
    """
    app_id, secret = account_of(settings)
    console.redaction.learn(secret)
    account = Account(app_id, secret, settings.is_test)
    async with ZegoClient(
        settings.endpoint, account, timeout_s=settings.timeout, connections=SPARE_CONNECTIONS
    ) as client:
        limit = window_for(LimitKey.of(app_id, Action.SEARCH, settings.endpoint), settings.rate)
        yield client, RetryingQuery(Pacer(settings.rate, time.monotonic, window=limit), console.on_event)


def archive_of(vendor: str | None) -> Archive:
    """Where to look, by the name of it.

    Raises:
        SettingsError: there is no such place, or none is named.
    """
    names = {one.value.lower(): one for one in Archive} | {"hw": Archive.HUAWEI}
    if vendor is None:
        raise SettingsError("--vendor: say where the recordings are kept: Tencent, Huawei or Ws")
    if (found := names.get(vendor.strip().lower())) is None:
        raise SettingsError(f"--vendor {vendor}: give Tencent, Huawei or Ws")
    return found


def moment_of(text: str, flag: str, now: datetime) -> datetime:
    """A moment: so long ago (``24h``), or a date with or without a time; without a zone it is local time.

    Args:
        text: as it was given.
        flag: by which, for the message.
        now: with its zone.

    Raises:
        SettingsError: it is neither.
    """
    stripped = text.strip()
    try:
        if age := _AGE.fullmatch(stripped):
            return now - timedelta(seconds=float(age[1]) * _UNITS_S[age[2]])
        return datetime.fromisoformat(stripped).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{flag} {text}: give how long ago (90m, 24h, 7d) or a date (2026-11-30, 2026-11-30T05:30); "
            "a date without a zone is local time, 2026-11-30T05:30Z is UTC"
        ) from None


def seconds_of(text: str, flag: str) -> float:
    """A length of time in seconds, out of ``10``, ``90s``, ``5m``.

    Raises:
        SettingsError: it is none.
    """
    if not (length := _LENGTH.fullmatch(text.strip())):
        raise SettingsError(f"{flag} {text}: give seconds, or a number with s, m or h")
    return float(length[1]) * _UNITS_S[length[2]]
