"""``batcher sandbox``: the documented API as a server on this machine, for people without an account."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from batcher.cli.command import Invocation, command
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.errors import BatcherError, SettingsError
from batcher.output_files import check_target
from batcher.requirements import MEDIA, pip_install
from batcher.sandbox import (
    CALLBACK,
    PLACES,
    SANDBOX_CALLBACK_SECRET,
    ActionFaults,
    AnswerShape,
    CallbackBody,
    CallbackSettings,
    Counting,
    MediaPackageMissing,
    PageNumbering,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
    TaskSettings,
    WalkEnd,
    parse_faults,
)

_RECORDINGS, _TASKS, _CALLBACKS = "What SearchMedia finds", "What becomes of tasks", "Callbacks"


@command("sandbox", options={})
async def sandbox(
    call: Invocation,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535, metavar="N")] = 8420,
    rate: Annotated[
        float, typer.Option(help="Calls per second of each Action; 0 for no limit.", metavar="N")
    ] = 20,
    counting: Annotated[
        str, typer.Option(help="How a second is counted: sliding, aligned or bucket.", metavar="HOW")
    ] = "sliding",
    count_refused: Annotated[
        bool, typer.Option("--count-refused", help="Refused calls count towards the limit too.")
    ] = False,
    jitter: Annotated[float, typer.Option(help="Mean delay of arrivals, in milliseconds.", metavar="MS")] = 0,
    latency: Annotated[float, typer.Option(help="Delay of answers, in milliseconds.", metavar="MS")] = 0,
    shape: Annotated[
        str, typer.Option(help="The vendor's part of an answer: object or list.", metavar="SHAPE")
    ] = "object",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=SHARE",
            help="Spoil this share of requests; repeat for more. KIND: drop-before, drop-after, hang, "
            "hang-before, http:NNN, http-after:NNN, html, long-header, cut, cut-json, empty, no-code, "
            "no-task-id, code:N, slow:MS. They meet MediaThumbnails; SearchMedia/KIND and "
            "DescribeMediaTask/KIND meet those. callback/KIND spoils callbacks: lost, doubled, forged, "
            "replayed, late, wrong-task, invented.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Makes faults, file ids and task ids repeatable.", metavar="N")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Keep every request here, one JSON object a line.", metavar="FILE"),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_RECORDINGS,
            help="The files of this folder, of which tasks take real snapshots; "
            f"needs {pip_install(*MEDIA)}.",
        ),
    ] = None,
    recordings: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=_RECORDINGS, help="So many, made up by rule.")
    ] = 0,
    days: Annotated[
        float,
        typer.Option(
            metavar="N", rich_help_panel=_RECORDINGS, help="Made-up ones were created in the last N days."
        ),
    ] = 30,
    crowd: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=_RECORDINGS, help="So many of them in one and the same second."
        ),
    ] = 0,
    arriving: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=_RECORDINGS, help="So many new ones after each SearchMedia."
        ),
    ] = 0,
    pages: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            rich_help_panel=_RECORDINGS,
            help="Tencent's first page: zero, one, or one-lenient (page 0 is page 1).",
        ),
    ] = "zero",
    walk_end: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            rich_help_panel=_RECORDINGS,
            help="How Huawei's and Ws' pages end: empty-marker, same-marker or empty-page.",
        ),
    ] = "empty-marker",
    task_time: Annotated[
        float,
        typer.Option(metavar="S", rich_help_panel=_TASKS, help="Seconds until a task ends; 0 at once."),
    ] = 0,
    task_fail: Annotated[
        float, typer.Option(metavar="SHARE", rich_help_panel=_TASKS, help="Share of tasks that fail.")
    ] = 0,
    task_endless: Annotated[
        float, typer.Option(metavar="SHARE", rich_help_panel=_TASKS, help="Share that never end.")
    ] = 0,
    task_forgotten: Annotated[
        float,
        typer.Option(metavar="SHARE", rich_help_panel=_TASKS, help="Share that the service knows no more."),
    ] = 0,
    sample_interval: Annotated[
        float,
        typer.Option(
            metavar="S",
            rich_help_panel=_TASKS,
            help="Seconds between the pictures of Tencent's SampleSnapshot.",
        ),
    ] = 10,
    callback_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=_CALLBACKS,
            help="Post there, on this machine, when a task has ended.",
        ),
    ] = None,
    callback_body: Annotated[
        str,
        typer.Option(metavar="FORM", rich_help_panel=_CALLBACKS, help="json, urlencoded or form."),
    ] = "json",
    callback_scale: Annotated[
        float,
        typer.Option(
            metavar="N",
            rich_help_panel=_CALLBACKS,
            help="Multiplies the pauses of 2, 4, 8, 16 and 32 s before a callback comes again.",
        ),
    ] = 1,
) -> int:
    """Serve the documented API on this machine, to rehearse without an account.

    It checks signatures, parameters and the rate as the documentation says, and answers with task ids of
    both vendors' kinds. Some file ids mean something: Tencent ids that begin with 404404404 do not exist
    (41003), 100010001 are wrong (1000), 400400400 are at the other vendor (4), 503503503 are busy twice,
    504504504 lose their first answer, 408408408 are slow; for Huawei, folders named missing, wrong-id,
    wrong-vendor, busy, lost-answer and slow do the same. Tasks for 501501501 and unreadable fail, for
    600600600 and endless they never end, for 410410410 and forgotten the service knows them no more.

    SearchMedia finds what --media or --recordings say. DescribeMediaTask knows every task that was
    accepted; the pictures it names can be fetched from here. Callbacks are signed with the secret in
    BATCHER_CALLBACK_SECRET, else with one that is printed.

    It prints the variables to set and runs until stopped. GET /_sandbox/summary, /_sandbox/log and
    /_sandbox/callbacks say what it has seen and sent; POST
    /_sandbox/callback?event=record&vendor=Tencent&file_id=N sends a record (or compose) callback.

    Exit codes: 0; 2 usage.

    Example:  batcher sandbox --fault drop-after=0.03 --fault code:1000=0.02

    Example:  batcher sandbox --recordings 200000 --task-time 60

    Example:  batcher sandbox --media ./videos
    """
    wanted = SandboxRequest(
        rate=rate,
        counting=counting,
        count_refused=count_refused,
        jitter=jitter,
        latency=latency,
        shape=shape,
        fault=fault or [],
        seed=seed,
        log=log,
        media=media,
        recordings=recordings,
        days=days,
        crowd=crowd,
        arriving=arriving,
        pages=pages,
        walk_end=walk_end,
        task_time=task_time,
        task_fail=task_fail,
        task_endless=task_endless,
        task_forgotten=task_forgotten,
        sample_interval=sample_interval,
        callback_url=callback_url,
        callback_body=callback_body,
        callback_scale=callback_scale,
    )
    return await serve_sandbox(call.console, sandbox_settings(wanted), port=port)


KEPT_ENTRIES = 100_000

SECRET_NAME = "BATCHER_CALLBACK_SECRET"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
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


def sandbox_settings(wanted: SandboxRequest) -> SandboxSettings:
    """Turn what is asked for into settings.

    Raises:
        SettingsError: it cannot be; the message says why.
    """
    if wanted.log is not None:
        check_target(wanted.log, "--log")
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


def _recordings(wanted: SandboxRequest) -> RecordingSettings:
    return RecordingSettings(
        count=wanted.recordings,
        span_s=wanted.days * 86400,
        crowd=wanted.crowd,
        arriving=wanted.arriving,
        pages=_word(PageNumbering, wanted.pages, "--pages"),
        walk_end=_word(WalkEnd, wanted.walk_end, "--walk-end"),
    )


def _callbacks(wanted: SandboxRequest, shares: Mapping[str, float]) -> CallbackSettings:
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
    except MediaPackageMissing as exc:
        raise SettingsError(f"{exc}. Install them with: {pip_install(*MEDIA)}") from exc
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
    stopped = asyncio.Event()
    try:
        with Signals(lambda _: stopped.set()):
            async with sandbox.serve(port=port) as url:
                console.say(
                    f"Serving (seed {sandbox.settings.seed}); what it has seen: {url}_sandbox/summary",
                    "Set these where batcher runs, and give it a ledger of its own:",
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
