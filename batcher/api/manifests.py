"""Manifests opened and checked before a run or a load begins. Called by the other modules of the library."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from batcher.errors import ManifestError
from batcher.files import is_special
from batcher.flowcontrol.cancellation import noting_cancellation
from batcher.flowcontrol.deadline import Deadline
from batcher.ledger.preflight import last_options
from batcher.manifest.read_options import ReadOptions, remembered_text
from batcher.manifest.sources.local import open_local
from batcher.manifest.sources.patterns import expand
from batcher.manifest.sources.remote import is_url
from batcher.manifest.threads import in_thread
from batcher.model.events import Message, OnEvent, Severity, ignore_event
from batcher.model.ledger_name import LedgerName
from batcher.model.proxy import proxy_for
from batcher.submit.manifest_checks import Brought, LateManifests, Preparation
from batcher.submit.prepared import Prepared


@dataclass(frozen=True, slots=True)
class PreparedManifests:
    """Manifests whose first rows have been checked."""

    manifests: Sequence[Prepared]
    cut_off: LateManifests | None = None
    """The input that had not arrived when the time limit was reached; None when everything had."""


@asynccontextmanager
async def prepared_manifests(
    sources: Sequence[str | os.PathLike[str]],
    how: ReadOptions,
    ledger: LedgerName,
    deadline: Deadline | None = None,
    on_event: OnEvent = ignore_event,
) -> AsyncIterator[PreparedManifests]:
    """Open manifests and check their first rows; they are closed at the end of the block.

    Args:
        sources: names and patterns.
        how: they are read, as far as it was given.
        ledger: remembers for each manifest how it was read the last time; there may be none yet.
        deadline: until then slow streams are waited for.
        on_event: called with each warning about them.

    Raises:
        ManifestError: one cannot be used.
        SettingsError: the proxy on the way to one cannot be used.
    """
    names = [os.fspath(one) for one in sources]
    _check_proxies(names)
    preparation = Preparation(names, how, partial(last_options, ledger))
    preparing = asyncio.create_task(in_thread(preparation.all), name="preparing")
    over = asyncio.create_task((deadline or Deadline()).over(), name="deadline")
    try:
        with noting_cancellation("stopped while the manifests were read; nothing has begun"):
            await asyncio.wait((preparing, over), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:  # the reading thread cannot be cancelled: close what it opens when it ends
        preparing.add_done_callback(_close_unwanted)
        raise
    finally:
        over.cancel()
    if preparing.done():
        prepared = PreparedManifests(preparing.result())
    else:
        preparing.cancel()
        prepared = PreparedManifests(*preparation.interrupt())
    try:
        for one in prepared.manifests:
            if one.remembered:
                on_event(Message(remembered_text(one.manifest.source, one.remembered)))
            for text in one.warnings:
                on_event(Message(text, Severity.WARNING))
        yield prepared
    finally:
        _close(prepared.manifests)


def warnings_of(brought: Iterable[Brought], on_event: OnEvent) -> tuple[str, ...]:
    """Emit and return what a ledger shows about the ids of manifests."""
    warnings = tuple(text for one in brought for text in one.warnings)
    for text in warnings:
        on_event(Message(text, Severity.WARNING))
    return warnings


def _check_proxies(names: Iterable[str]) -> None:
    """Refuse a proxy that cannot be used, before a manifest is asked for through it.

    Raises:
        SettingsError: there is one.
    """
    for name in names:
        if name.lower().startswith(("http://", "https://")):
            with contextlib.suppress(ValueError):  # not a URL: opening it says so
                proxy_for(name)


def unreadable(sources: Iterable[str]) -> list[str]:
    """Return a message for each file that cannot be read; URLs, pipes and stdin are not tried."""
    problems: list[str] = []
    for source in sources:
        if source == "-" or is_url(source):
            continue
        try:
            for name in expand([source]):
                if not is_special(name):
                    open_local(name, None).close()
        except ManifestError as exc:
            problems += exc.lines
    return problems


def _close(prepared: Iterable[Prepared]) -> None:
    for one in prepared:
        one.manifest.close()


def _close_unwanted(preparing: asyncio.Task[list[Prepared]]) -> None:
    if not preparing.cancelled() and preparing.exception() is None:
        _close(preparing.result())
