"""A program that fetches pictures and draws a bar; mypy checks it, the library tests run it."""

from pathlib import Path

from batcher import Event, ExitCode, FetchProgress, FetchSummary, PictureFetch


async def fetched(ledger: Path, folder: Path, endpoint: str) -> tuple[ExitCode, list[str]]:
    """Fetch all pictures; return the exit code and the progress."""
    bars: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, FetchProgress):
            bars.append(f"{event.ended}/{event.total}")

    fetch = PictureFetch(ledger, folder, endpoint=endpoint, on_event=on_event)
    summary: FetchSummary = await fetch.run()
    return summary.exit_code, bars
