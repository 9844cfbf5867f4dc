"""A program that runs and tracks an archive and draws a bar; mypy checks it, the library tests run it."""

from collections.abc import Sequence
from pathlib import Path

from batcher import (
    Account,
    Defaults,
    Event,
    Progress,
    ReadOptions,
    RunHalted,
    RunIncomplete,
    RunOutcome,
    RunSettings,
    RunSummary,
    Submitted,
    TrackSettings,
    open_ledger,
)


async def archive(
    path: Path, account: Account, manifests: Sequence[Path], endpoint: str, rate_per_s: float
) -> tuple[RunOutcome, list[str], dict[str, str]]:
    """Submit and track an archive; return the outcome, the bars, and the task id of each recording."""
    bars: list[str] = []
    tasks: dict[str, str] = {}

    def on_event(event: Event) -> None:
        match event:
            case Progress():
                bars.append(f"{event.ended}/{event.total}")
            case Submitted():
                tasks[event.file_id] = event.task_id

    how = ReadOptions(Defaults(vendor="Tencent", definition="10", offsets=("1",)))
    async with open_ledger(path) as ledger:
        summary: RunSummary = await ledger.run(
            account,
            RunSettings(rate_per_s=rate_per_s),
            manifests=manifests,
            how=how,
            endpoint=endpoint,
            track=TrackSettings(rate_per_s=rate_per_s),
            on_event=on_event,
        )
    try:
        summary.raise_for_outcome(allow_trouble=True)
    except (RunHalted, RunIncomplete) as exc:
        return exc.outcome, bars, tasks
    return summary.outcome, bars, tasks
