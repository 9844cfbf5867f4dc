"""``sandbox`` and ``demo``: the service on this machine, for people without an account."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batcher.bundled import bundled
from batcher.cli.console import Console
from batcher.cli.exporting import export_results
from batcher.cli.running import run_manifests
from batcher.errors import BatcherError, LedgerError, SettingsError
from batcher.ledger import open_for_reading
from batcher.model import Place
from batcher.runner import Exit
from batcher.sandbox import Sandbox, SandboxSettings, parse_shares
from batcher.settings import load_settings

KEPT_ENTRIES = 100_000


async def serve_sandbox(
    console: Console, *, port: int, seed: int | None, faults: Sequence[str], settings: Mapping[str, Any]
) -> int:
    """Serve until stopped; ``settings`` are those of the sandbox."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # its errors would print signed URLs
    try:
        sandbox = Sandbox(
            SandboxSettings(
                seed=secrets.randbelow(2**31) if seed is None else seed,
                shares=parse_shares(faults),
                keep_entries=KEPT_ENTRIES,
                **settings,
            )
        )
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
            ):
                print(f"export BATCHER_{name}={value}", flush=True)  # noqa: T201 - to be sourced
            await stopped.wait()
    except OSError as exc:
        raise BatcherError(f"--port {port}: cannot be served: {exc.strerror}") from exc
    return 0


async def run_demo(folder: Path, console: Console) -> int:
    """Do the main job against a sandbox, leaving manifest, ledger and results in one folder."""
    await _refuse_others(folder)
    manifest, ledger, results = _demo_files(folder)
    for name in [name for name in os.environ if name.startswith("BATCHER_")]:
        del os.environ[name]  # a demo is a demo: nothing of a real account takes part
    async with Sandbox(SandboxSettings(latency_ms=60)).serve() as url:
        settings = load_settings(
            {
                "endpoint": url,
                "app_id": SandboxSettings().app_id,
                "server_secret": SandboxSettings().server_secret,
                "ledger": str(ledger),
            }
        )
        console.say(
            f"A sandbox serves the API at {url}: 20 calls a second,\n"
            "some recordings missing or at the wrong vendor, one answer lost.\n"
        )
        console.say(f"$ batcher run {manifest} -l {ledger}\n")
        code = await run_manifests(settings, [str(manifest)], console, as_json=False)
        console.say(f"\n$ batcher export {manifest} -l {ledger} -o {results}")
        await export_results(settings, str(manifest), results, console, format_="csv", excel=False)
    console.say(f"\nIn {folder}/: recordings.csv went in, results.csv came out, ledger.db remembers.")
    return code if code in (Exit.SIGINT, Exit.SIGTERM) else 0


def _demo_files(folder: Path) -> tuple[Path, Path, Path]:
    """A fresh manifest, and where ledger and results will be; what an earlier demo left is removed."""
    manifest, ledger, results = (folder / name for name in ("recordings.csv", "ledger.db", "results.csv"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (ledger, *(Path(f"{ledger}{end}") for end in ("-wal", "-shm", ".lock")), results):
            old.unlink(missing_ok=True)
        shutil.copyfile(bundled("sample_manifests") / "demo.csv", manifest)
    except OSError as exc:
        raise BatcherError(f"--folder {folder}: cannot be used: {exc.strerror}") from exc
    return manifest, ledger, results


async def _refuse_others(folder: Path) -> None:
    """Make sure that whatever the demo would overwrite is a demo's.

    Raises:
        SettingsError: it is not.
    """
    ledger = folder / "ledger.db"
    there = [name for name in ("recordings.csv", "results.csv", "ledger.db") if (folder / name).exists()]
    if not there:
        return
    bound = None
    if "ledger.db" in there:
        with contextlib.suppress(LedgerError):
            async with await open_for_reading(ledger) as opened:
                bound = await opened.bound_to()
    if bound != (SandboxSettings().app_id, Place.OTHER):
        raise SettingsError(f"--folder {folder}: {there[0]} is not a demo's; choose another folder")
