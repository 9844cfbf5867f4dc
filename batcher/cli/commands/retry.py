"""``batcher retry``: put settled submissions back in the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from batcher.cli import options as o
from batcher.cli.command import Closing, Invocation, command
from batcher.exit_codes import ExitCode


@command("retry", options=o.LOCKED)
async def retry(
    call: Invocation,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="failed, rejected or in_doubt; repeat for more."),
    ] = None,
    code: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Only those with this last code; repeat for more.")
    ] = None,
) -> int:
    """Put failed and rejected submissions back in the queue.

    They get a fresh budget of tries. Nothing is sent: the next `batcher run` does that. Submissions in doubt
    are put back only when named, with --state in_doubt: some may have been accepted, and would be paid for
    twice.

    Exit codes: 0; 2 settings; 5 a run holds the ledger; 6 the ledger cannot be used.

    Example:  batcher retry --code 1000
    """
    from batcher.api import retry as api
    from batcher.cli.signals import Signals
    from batcher.errors import SettingsError
    from batcher.model.submission import State
    from batcher.report.command_lines import ledger_option
    from batcher.report.formatting import count

    call.announce()
    settings, console = call.settings, call.console
    named = [one.replace("-", "_") for one in state or ()]
    if wrong := [one for one in named if one not in set(api.RETRIABLE)]:
        raise SettingsError(f"--state {wrong[0]}: give failed, rejected or in_doubt")
    with Signals() as signals, signals.interrupting():
        moved = await api.retry(
            settings.ledger,
            [State(one) for one in named] or api.RETRIED,
            codes=code or (),
            wait_s=settings.wait_lock,
            sender="batcher retry",
            on_event=console.on_event,
        )
    moved_text = f"{count(moved, 'submission')} back in the queue"
    call.closed(Closing(moved_text))
    console.say(moved_text + (f": batcher run{ledger_option(settings.ledger)}" if moved else ""))
    return ExitCode.DONE
