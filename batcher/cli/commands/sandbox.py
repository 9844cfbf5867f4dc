"""``sandbox``: serves the documented API on this machine, for a rehearsal without an account.

Called by users and by the tests. Options that are not given leave the defaults of the sandbox's own settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from batcher.cli.command import Invocation, command
from batcher.errors import BatcherError, SettingsError
from batcher.exit_codes import ExitCode
from batcher.requirements import MEDIA, pip_install

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console
    from batcher.sandbox import SandboxSettings

_SEARCHES, _TASKS, _CALLBACKS = "Recordings for SearchMedia", "Tasks", "Callbacks"


def _number(text: str, metavar: str = "N", panel: str | None = None) -> Any:  # noqa: ANN401 - a type
    return Annotated[float | None, typer.Option(help=text, metavar=metavar, rich_help_panel=panel)]


def _whole(text: str, panel: str | None = None, **bounds: int) -> Any:  # noqa: ANN401 - a type
    option = typer.Option(
        help=text, metavar="N", rich_help_panel=panel, min=bounds.get("min"), max=bounds.get("max")
    )
    return Annotated[int | None, option]


def _text(text: str, metavar: str = "HOW", panel: str | None = None) -> Any:  # noqa: ANN401 - a type
    return Annotated[str | None, typer.Option(help=text, metavar=metavar, rich_help_panel=panel)]


def _path(text: str, metavar: str, panel: str | None = None) -> Any:  # noqa: ANN401 - a type
    return Annotated[Path | None, typer.Option(help=text, metavar=metavar, rich_help_panel=panel)]


_FAULTS = (
    "Spoil this share of requests; repeat for more. KIND: drop-before, drop-after, hang, hang-before, "
    "http:NNN, http-after:NNN, html, long-header, cut, cut-json, empty, no-code, no-task-id, code:N, "
    "slow:MS. Without a prefix they spoil MediaThumbnails; SearchMedia/KIND and DescribeMediaTask/KIND spoil "
    "those. callback/KIND spoils callbacks: lost, doubled, forged, replayed, late, wrong-task, invented."
)

OPTIONS: Final = {
    "port": _whole("The port; 0 for a free one. (default: 8420)", min=0, max=65535),
    "rate": _number("Calls per second of each Action; 0 for no limit. (default: 20)"),
    "counting": _text("How a second is counted: sliding, aligned or bucket. (default: sliding)"),
    "count_refused": Annotated[
        bool, typer.Option("--count-refused", help="Count refused calls towards the limit, too.")
    ],
    "jitter": _number("Mean delay of arrivals, in milliseconds. (default: 0)", "MS"),
    "latency": _number("Delay of answers, in milliseconds. (default: 0)", "MS"),
    "shape": _text("The vendor's part of an answer: object or list. (default: object)", "SHAPE"),
    "fault": Annotated[list[str] | None, typer.Option(metavar="KIND=SHARE", help=_FAULTS)],
    "seed": _whole("Make faults, file ids and task ids repeatable."),
    "log": _path("Append every request to FILE, one JSON object a line.", "FILE"),
    "media": _path(
        f"Recordings are the files in DIR; tasks take real snapshots of them. Needs {pip_install(*MEDIA)}.",
        "DIR",
        _SEARCHES,
    ),
    "recordings": _whole("Make up N recordings. (default: 0)", _SEARCHES),
    "days": _number("They were created in the last N days. (default: 30)", "N", _SEARCHES),
    "crowd": _whole("N of them were created in the same second. (default: 0)", _SEARCHES),
    "arriving": _whole("Add N new ones after each SearchMedia. (default: 0)", _SEARCHES),
    "pages": _text(
        "Tencent's first page: zero, one, or one-lenient (page 0 is page 1). (default: zero)",
        panel=_SEARCHES,
    ),
    "walk_end": _text(
        "How Huawei's and Ws' pages end: empty-marker, same-marker or empty-page. (default: empty-marker)",
        panel=_SEARCHES,
    ),
    "task_time": _number("Seconds until a task ends; 0 for immediately. (default: 0)", "S", _TASKS),
    "task_fail": _number("Share of tasks that fail. (default: 0)", "SHARE", _TASKS),
    "task_endless": _number("Share of tasks that never end. (default: 0)", "SHARE", _TASKS),
    "task_forgotten": _number("Share of tasks that the service forgets. (default: 0)", "SHARE", _TASKS),
    "sample_interval": _number(
        "Seconds between the pictures of Tencent's SampleSnapshot. (default: 10)", "S", _TASKS
    ),
    "callback_url": _text("Post there, on this machine, when a task has ended.", "URL", _CALLBACKS),
    "callback_body": _text("json, urlencoded or form. (default: json)", "FORM", _CALLBACKS),
    "callback_scale": _number(
        "Multiply the pauses of 2, 4, 8, 16 and 32 s before a callback is repeated. (default: 1)",
        "N",
        _CALLBACKS,
    ),
}


@command("sandbox", options=OPTIONS)
async def sandbox(call: Invocation) -> int:
    """Serve the documented API on this machine.

    Checks signatures, parameters and the rate as documented, and answers with task ids of both vendors'
    kinds. Some file ids have a meaning: Tencent ids that begin with 404404404 do not exist (41003), 100010001
    are wrong (1000), 400400400 are at the other vendor (4), 503503503 are busy twice, 504504504 lose their
    first answer, 408408408 are slow; for Huawei, folders named missing, wrong-id, wrong-vendor, busy,
    lost-answer and slow do the same. Tasks for 501501501 and unreadable fail, for 600600600 and endless they
    never end, for 410410410 and forgotten the service forgets them.

    SearchMedia finds the recordings of --media or --recordings. DescribeMediaTask reports every accepted
    task; its pictures can be fetched from the sandbox. Callbacks are signed with the secret in
    BATCHER_CALLBACK_SECRET, else with one that is printed.

    Prints the variables to set and runs until stopped. GET /_sandbox/summary, /_sandbox/log and
    /_sandbox/callbacks return what was received and sent; POST
    /_sandbox/callback?event=record&vendor=Tencent&file_id=N sends a record (or compose) callback.

    Exit codes: 0; 2 usage.

    Example:  batcher sandbox --fault drop-after=0.03 --fault code:1000=0.02

    Example:  batcher sandbox --recordings 200000 --task-time 60

    Example:  batcher sandbox --media ./videos
    """
    from batcher.cli.sandbox_settings import sandbox_settings

    port = call.given["port"]
    return await serve_sandbox(
        call.console, sandbox_settings(call.given), port=PORT if port is None else port
    )


PORT = 8420


async def serve_sandbox(console: Console, settings: SandboxSettings, *, port: int) -> int:
    """Serve until a signal."""
    import asyncio
    import logging

    from batcher.cli.signals import Signals
    from batcher.sandbox import SANDBOX_CALLBACK_SECRET, MediaPackageMissing, Sandbox

    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # its errors would print signed URLs
    try:
        sandbox = Sandbox(settings)
    except MediaPackageMissing as exc:
        raise SettingsError(f"{exc}. Install them with: {pip_install(*MEDIA)}") from exc
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
    variables = {
        "APP_ID": str(settings.app_id),
        "SERVER_SECRET": settings.server_secret,
        "LEDGER": "rehearsal.db",
    }
    if settings.callbacks.secret == SANDBOX_CALLBACK_SECRET:  # another one is the user's
        variables["CALLBACK_SECRET"] = SANDBOX_CALLBACK_SECRET
    stopped = asyncio.Event()
    try:
        with Signals(lambda _: stopped.set()):
            async with sandbox.serve(port=port) as url:
                console.say(
                    f"Serving (seed {settings.seed}); requests so far: {url}_sandbox/summary",
                    "Set these where batcher runs, and give it a ledger of its own:",
                )
                for name, value in {"ENDPOINT": url, **variables}.items():
                    print(f"export BATCHER_{name}={value}", flush=True)  # noqa: T201 - for a shell
                await stopped.wait()
    except OSError as exc:
        raise BatcherError(f"--port {port}: cannot be served: {exc.strerror}") from exc
    return ExitCode.DONE
