"""The command ``sandbox``: its options and its help.

Nothing heavy is imported here. How a command ends is handed in by the program, so that this one ends and
fails as all others do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from batcher.cli.terminal.console import Console

_RECORDINGS, _TASKS, _CALLBACKS = "What SearchMedia finds", "What becomes of tasks", "Callbacks"

_Ending = Callable[[Console, Callable[[], Coroutine[Any, Any, int]]], None]
_Registering = Callable[[Callable[..., None]], Callable[..., None]]


def sandbox_command(register: _Registering, end_async: _Ending) -> None:
    """Add the command to those of the program."""

    @register
    def sandbox(
        port: Annotated[int, typer.Option(help="0 takes a free one.", metavar="N")] = 8420,
        rate: Annotated[
            float, typer.Option(help="Calls per second of each Action; 0 for no limit.", metavar="N")
        ] = 20,
        counting: Annotated[
            str, typer.Option(help="How a second is counted: sliding, aligned or bucket.", metavar="HOW")
        ] = "sliding",
        count_refused: Annotated[
            bool, typer.Option("--count-refused", help="Refused calls count towards the limit too.")
        ] = False,
        jitter: Annotated[
            float, typer.Option(help="Mean delay of arrivals, in milliseconds.", metavar="MS")
        ] = 0,
        latency: Annotated[float, typer.Option(help="Delay of answers, in milliseconds.", metavar="MS")] = 0,
        shape: Annotated[
            str, typer.Option(help="The vendor's part of an answer: object or list.", metavar="SHAPE")
        ] = "object",
        fault: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KIND=SHARE",
                help="Spoil this share of requests; repeat for more. KIND: drop-before, drop-after, hang, "
                "hang-before, http:NNN, http-after:NNN, html, cut, cut-json, empty, no-code, no-task-id, "
                "code:N, slow:MS. They meet MediaThumbnails; SearchMedia/KIND and DescribeMediaTask/KIND "
                "meet those. callback/KIND spoils callbacks: lost, doubled, forged, replayed, late, "
                "wrong-task, invented.",
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
                "needs pip install 'batcher\\[media]'.",
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
            typer.Option(
                metavar="SHARE", rich_help_panel=_TASKS, help="Share that the service knows no more."
            ),
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
    ) -> None:
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
        console = Console()

        async def work() -> int:
            from batcher.cli.rehearsing import Wanted, sandbox_settings, serve_sandbox

            wanted = Wanted(
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
            return await serve_sandbox(console, sandbox_settings(wanted), port=port)

        end_async(console, work)
