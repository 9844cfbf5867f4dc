"""``sandbox``: serves the documented API on this machine, for a rehearsal without an account.

Called by users and by the tests. Options that are not given leave the defaults of the sandbox's own settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.errors import BatcherError, SettingsError
from batcher.exit_codes import ExitCode
from batcher.requirements import MEDIA, pip_install

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console
    from batcher.sandbox import SandboxSettings

_SEARCHES, _TASKS, _CALLBACKS = "Recordings for SearchMedia", "Tasks", "Callbacks"


_FAULTS = (
    "Spoil this share of requests; repeat for more. KIND: drop-before, drop-after, hang, hang-before, "
    "http:NNN, http-after:NNN, html, long-header, cut, cut-json, empty, no-code, no-task-id, code:N, "
    "slow:MS. Without a prefix they spoil MediaThumbnails; SearchMedia/KIND and DescribeMediaTask/KIND spoil "
    "those. callback/KIND spoils callbacks: lost, doubled, forged, replayed, late, wrong-task, invented."
)

OPTIONS: Final = {
    "port": o.setting(int, "The port; 0 for a free one. (default: 8420)", "N", min=0, max=65535),
    "rate": o.setting(float, "Calls per second of each Action; 0 for no limit. (default: 20)", "N"),
    "counting": o.setting(
        str, "How a second is counted: sliding, aligned or bucket. (default: sliding)", "HOW"
    ),
    "count_refused": o.flag("--count-refused", "Count refused calls towards the limit, too."),
    "jitter": o.setting(float, "Mean delay of arrivals, in milliseconds. (default: 0)", "MS"),
    "latency": o.setting(float, "Delay of answers, in milliseconds. (default: 0)", "MS"),
    "shape": o.setting(
        str, "The vendor's part of an answer: object, list or second. (default: object)", "SHAPE"
    ),
    "fault": o.setting(list[str], _FAULTS, "KIND=SHARE"),
    "seed": o.setting(int, "Make faults, file ids and task ids repeatable.", "N"),
    "log": o.setting(Path, "Append every request to FILE, one JSON object a line.", "FILE"),
    "media": o.setting(
        Path,
        f"Recordings are the files in DIR; tasks take real snapshots of them. Needs {pip_install(*MEDIA)}.",
        "DIR",
        panel=_SEARCHES,
    ),
    "recordings": o.setting(int, "Make up N recordings. (default: 0)", "N", panel=_SEARCHES),
    "days": o.setting(float, "They were created in the last N days. (default: 30)", "N", panel=_SEARCHES),
    "crowd": o.setting(int, "N of them were created in the same second. (default: 0)", "N", panel=_SEARCHES),
    "arriving": o.setting(int, "Add N new ones after each SearchMedia. (default: 0)", "N", panel=_SEARCHES),
    "pages": o.setting(
        str,
        "Tencent's first page: zero, one, or one-lenient (page 0 is page 1). (default: zero)",
        "HOW",
        panel=_SEARCHES,
    ),
    "walk_end": o.setting(
        str,
        "How Huawei's and Ws' pages end: empty-marker, same-marker or empty-page. (default: empty-marker)",
        "HOW",
        panel=_SEARCHES,
    ),
    "task_time": o.setting(
        float, "Seconds until a task ends; 0 for immediately. (default: 0)", "S", panel=_TASKS
    ),
    "task_fail": o.setting(float, "Share of tasks that fail. (default: 0)", "SHARE", panel=_TASKS),
    "task_endless": o.setting(float, "Share of tasks that never end. (default: 0)", "SHARE", panel=_TASKS),
    "task_forgotten": o.setting(
        float, "Share of tasks that the service forgets. (default: 0)", "SHARE", panel=_TASKS
    ),
    "sample_interval": o.setting(
        float, "Seconds between the pictures of Tencent's SampleSnapshot. (default: 10)", "S", panel=_TASKS
    ),
    "callback_url": o.setting(
        str, "Post there, on this machine, when a task has ended.", "URL", panel=_CALLBACKS
    ),
    "callback_body": o.setting(str, "json, urlencoded or form. (default: json)", "FORM", panel=_CALLBACKS),
    "callback_scale": o.setting(
        float,
        "Multiply the pauses of 2, 4, 8, 16 and 32 s before a callback is repeated. (default: 1)",
        "N",
        panel=_CALLBACKS,
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
    from batcher.cli.descriptors import LEAST, check_room
    from batcher.cli.sandbox_settings import sandbox_settings

    check_room(LEAST)
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
                given = {"ENDPOINT": url, **variables}
                console.show(*(f"export BATCHER_{name}={value}" for name, value in given.items()))
                await stopped.wait()
    except OSError as exc:
        raise _unserved(port, exc) from exc
    return ExitCode.DONE


def _unserved(port: int, exc: OSError) -> BatcherError:
    """Return the error of a sandbox that cannot be served: its port, or a file that it reads or writes."""
    from batcher.files import absolute, is_machine_fault, unwritable

    if exc.filename is None and not is_machine_fault(exc):
        return SettingsError(f"--port {port}: cannot be served: {exc.strerror}. Choose another port")
    return unwritable(exc, "--log" if exc.filename is None else absolute(exc.filename), exc.filename)
