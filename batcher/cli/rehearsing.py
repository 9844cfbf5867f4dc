"""``sandbox`` and ``demo``: the service on this machine, for people without an account."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from batcher.cli.terminal.console import Console
from batcher.errors import BatcherError, SettingsError
from batcher.sandbox import (
    CALLBACK,
    PLACES,
    SANDBOX_CALLBACK_SECRET,
    ActionFaults,
    AnswerShape,
    CallbackBody,
    CallbackSettings,
    Counting,
    PageNumbering,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
    TaskSettings,
    WalkEnd,
    parse_faults,
)

KEPT_ENTRIES = 100_000

SECRET_NAME = "BATCHER_CALLBACK_SECRET"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks of a sandbox, in its own words."""

    rate: float
    counting: str
    count_refused: bool
    jitter: float
    latency: float
    shape: str
    fault: Sequence[str]
    seed: int | None
    log: Path | None
    media: Path | None
    recordings: int
    days: float
    crowd: int
    arriving: int
    pages: str
    walk_end: str
    task_time: float
    task_fail: float
    task_endless: float
    task_forgotten: float
    sample_interval: float
    callback_url: str | None
    callback_body: str
    callback_scale: float


def sandbox_settings(wanted: Wanted) -> SandboxSettings:
    """Turn what is asked for into settings.

    Raises:
        SettingsError: it cannot be; the message says why.
    """
    try:
        shares = parse_faults(wanted.fault)
        own, of_callbacks = shares.pop(PLACES[0], {}), shares.pop(CALLBACK, {})
        return SandboxSettings(
            rate_per_s=_whole(wanted.rate, "--rate"),
            counting=_word(Counting, wanted.counting, "--counting"),
            count_refused=wanted.count_refused,
            jitter_ms=wanted.jitter,
            latency_ms=wanted.latency,
            answer_shape=_word(AnswerShape, wanted.shape, "--shape"),
            seed=secrets.randbelow(2**31) if wanted.seed is None else wanted.seed,
            shares=own,
            faults={action: ActionFaults(shares=ones) for action, ones in shares.items()},
            recordings=_recordings(wanted),
            media=wanted.media,
            tasks=TaskSettings(
                time_s=wanted.task_time,
                fail_share=wanted.task_fail,
                endless_share=wanted.task_endless,
                forgotten_share=wanted.task_forgotten,
                sample_interval_s=wanted.sample_interval,
            ),
            callbacks=_callbacks(wanted, of_callbacks),
            log_path=wanted.log,
            keep_entries=KEPT_ENTRIES,
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _recordings(wanted: Wanted) -> RecordingSettings:
    return RecordingSettings(
        count=wanted.recordings,
        span_s=wanted.days * 86400,
        crowd=wanted.crowd,
        arriving=wanted.arriving,
        pages=_word(PageNumbering, wanted.pages, "--pages"),
        walk_end=_word(WalkEnd, wanted.walk_end, "--walk-end"),
    )


def _callbacks(wanted: Wanted, shares: Mapping[str, float]) -> CallbackSettings:
    return CallbackSettings(
        url=wanted.callback_url,
        secret=os.environ.get(SECRET_NAME) or SANDBOX_CALLBACK_SECRET,
        body=_word(CallbackBody, wanted.callback_body, "--callback-body"),
        schedule_s=[pause_s * wanted.callback_scale for pause_s in CallbackSettings().schedule_s],
        shares=shares,
    )


_Words = TypeVar("_Words", bound=StrEnum)


def _word(words: type[_Words], text: str, option: str) -> _Words:
    if text not in tuple(words):
        raise ValueError(f"{option} {text}: give {', '.join(list(words)[:-1])} or {list(words)[-1]}")
    return words(text)


def _whole(number: float, option: str) -> int:
    if number % 1 != 0:  # which holds for what is no number, too
        raise ValueError(f"{option} {number:g}: give a whole number")
    return int(number)


async def serve_sandbox(console: Console, settings: SandboxSettings, *, port: int) -> int:
    """Serve until stopped."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # its errors would print signed URLs
    try:
        sandbox = Sandbox(settings)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        async with sandbox.serve(port=port) as url:
            console.say(
                f"Serving (seed {sandbox.settings.seed}); what it has seen: {url}_sandbox/summary\n"
                "Set these where batcher runs, and give it a ledger of its own:"
            )
            for name, value in (
                ("ENDPOINT", url),
                ("APP_ID", str(sandbox.settings.app_id)),
                ("SERVER_SECRET", sandbox.settings.server_secret),
                ("LEDGER", "rehearsal.db"),
                *_callback_variable(settings),
            ):
                print(f"export BATCHER_{name}={value}", flush=True)  # noqa: T201 - to be sourced
            await stopped.wait()
    except OSError as exc:
        raise BatcherError(f"--port {port}: cannot be served: {exc.strerror}") from exc
    return 0


def _callback_variable(settings: SandboxSettings) -> Sequence[tuple[str, str]]:
    """The secret of callbacks, if it is the published one; another is known where it came from."""
    secret = settings.callbacks.secret
    return [("CALLBACK_SECRET", secret)] if secret == SANDBOX_CALLBACK_SECRET else []
