"""``demo``: the whole way once, on this machine alone, from recordings to pictures that one can look at.

Between the commands, whose work it does one after the other as a person would, and two sandboxes: one that
has an archive with everything that can go wrong, one that has real videos. What needs a package that is not
there is left out, and named. It leaves nothing outside of its folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from batcher.cli.command import Invocation, command
from batcher.cli.commands.discover import list_recordings
from batcher.cli.commands.export import export_results
from batcher.cli.commands.run import run_manifests
from batcher.cli.discovery_request import DiscoveryRequest
from batcher.cli.terminal.console import Console
from batcher.config.resources import bundled
from batcher.config.settings import Settings, load_settings
from batcher.errors import BatcherError, LedgerError, SettingsError
from batcher.exit_codes import ExitCode
from batcher.ledger import open_for_reading
from batcher.model.submission import EndpointKind, FileId
from batcher.report.formatting import count
from batcher.requirements import MEDIA, REPORT, pip_install
from batcher.sandbox import Sandbox, SandboxSettings, TaskSettings


@command("demo", options={})
async def demo(
    call: Invocation,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the demo leaves its files.")
    ] = Path("demo"),
) -> int:
    """Go the whole way once, on this machine alone: from recordings to pictures and a report.

    Submits a sample archive to a sandbox, makes a few videos, discovers and submits them, follows all tasks,
    fetches the pictures, and draws the report. Needs no account and no network. Leaves one folder, and
    nothing else; what needs a package that is not installed is left out, and named.

    Exit codes: 0.

    Example:  batcher demo
    """
    return await run_demo(folder, call.console)


LATENCY_MS = 60
"""Of the sandboxes: about what a service in the same country takes."""

OFFSETS = ("0.5", "1.5", "2.5", "3.5", "4.5", "5.5")
"""Where pictures of the videos are taken, in seconds; some videos have ended by then."""

_STOPPED = (ExitCode.SIGINT, ExitCode.SIGTERM)

_FROM_OLD_LEDGERS = ("-wal", "-shm", ".lock", ".track.lock", ".fetch.lock")


class Left(NamedTuple):
    """What the demo leaves, all of it in one folder."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The archive."""
        return self.folder / "recordings.csv"

    @property
    def ledger(self) -> Path:
        """Everything that was asked and answered."""
        return self.folder / "ledger.db"

    @property
    def results(self) -> Path:
        """What became of the archive, row by row."""
        return self.folder / "results.csv"

    @property
    def videos(self) -> Path:
        """Recordings with something to be seen."""
        return self.folder / "videos"

    @property
    def discovered(self) -> Path:
        """The manifest of the videos."""
        return self.folder / "videos.csv"

    @property
    def pictures(self) -> Path:
        """What was fetched."""
        return self.folder / "pictures"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"

    def named(self) -> dict[str, Path]:
        """All of it by name, the ledger last."""
        paths = (self.manifest, self.results, self.videos, self.discovered, self.pictures, self.report)
        return {path.name: path for path in (*paths, self.ledger)}


async def run_demo(folder: Path, console: Console) -> int:
    """Do the whole way against sandboxes on this machine."""
    left = Left(folder)
    await _refuse_others(left)
    await asyncio.to_thread(_begin, left)
    for name in [name for name in os.environ if name.startswith("BATCHER_")]:
        del os.environ[name]  # a demo is a demo: nothing of a real account takes part
    code = await _Demo(left, console).go()
    if code in _STOPPED:
        return code
    there = await asyncio.to_thread(lambda: [name for name, path in left.named().items() if path.exists()])
    console.say("", f"In {folder}/: {', '.join(there)}.")
    if "report.html" in there:
        console.say(f"Open {left.report} in a browser: all of this on one page, pictures too.")
    return 0


class _Demo:
    """The steps, each of them a command; it ends where a signal ends one of them."""

    def __init__(self, left: Left, console: Console) -> None:
        self._left = left
        self._console = console
        self._left_out: list[str] = []
        self._has_fetched = False

    async def go(self) -> int:
        """All steps; the exit code of the one that a signal ended, else 0."""
        async with Sandbox(SandboxSettings(latency_ms=LATENCY_MS)).serve() as url:
            self._console.say(
                f"A sandbox serves the API at {url}: 20 calls a second,",
                "some recordings missing or at the wrong vendor, one answer lost.",
            )
            for step in (self._archive, self._results, self._videos, self._fetched, self._report):
                if (code := await step(url)) in _STOPPED:
                    return code
        for one in self._left_out:
            self._console.say(one)
        return 0

    async def _archive(self, url: str) -> int:
        """An archive: submitted, and its tasks followed to their end."""
        left = self._left
        self._say(f"batcher run {left.manifest} --track -l {left.ledger}")
        call = Invocation("run", {}, self._console, self._settings(url, track=True))
        return await run_manifests(call, [str(left.manifest)], as_json=False)

    async def _results(self, url: str) -> int:
        left = self._left
        self._say(f"batcher export {left.manifest} -l {left.ledger} -o {left.results}")
        return await export_results(
            self._settings(url), str(left.manifest), left.results, self._console, format_="csv", excel=False
        )

    async def _videos(self, _url: str) -> int:
        """Real videos: made, discovered, submitted, followed, and their pictures fetched."""
        if not self._has("av", "videos to take pictures of", MEDIA):
            return 0
        from batcher.sandbox.demo_videos import make_videos

        left = self._left
        made = await asyncio.to_thread(make_videos, left.videos)
        self._console.say(
            "",
            f"A second sandbox has {count(len(made), 'recording')} of its own, made just now in "
            f"{left.videos}/:",
            "moving pictures that show their time, one of them cut off, and sound alone.",
        )
        settings = SandboxSettings(latency_ms=LATENCY_MS, media=left.videos, tasks=TaskSettings())
        async with Sandbox(settings).serve() as url:
            for step in (self._discovered, self._submitted, self._fetch):
                if (code := await step(url)) in _STOPPED:
                    return code
        return 0

    async def _discovered(self, url: str) -> int:
        left = self._left
        self._say(f"batcher discover --vendor Tencent --since 24h --category Video -o {left.discovered}")
        request = DiscoveryRequest(since="24h", category=("Video",))
        return await list_recordings(
            self._settings(url, vendor="Tencent"), request, left.discovered, self._console
        )

    async def _submitted(self, url: str) -> int:
        left = self._left
        offsets = " ".join(f"--offset {offset}" for offset in OFFSETS)
        self._say(
            f"batcher run {left.discovered} --vendor Tencent --definition 10 {offsets} "
            f"--track -l {left.ledger}"
        )
        settings = self._settings(url, vendor="Tencent", definition="10", offset=OFFSETS, track=True)
        call = Invocation("run", {}, self._console, settings)
        return await run_manifests(call, [str(left.discovered)], as_json=False)

    async def _fetched(self, url: str) -> int:
        """What is still to be fetched when there were no videos."""
        return 0 if self._has_fetched else await self._fetch(url)

    async def _fetch(self, url: str) -> int:
        if not self._has("PIL", "fetching pictures", ("Pillow",)):
            return 0
        from batcher.cli.commands.fetch import fetch_pictures

        left, self._has_fetched = self._left, True
        wanted = await asyncio.to_thread(_discovered_ids, left.discovered)
        named = "".join(f" --recording {file_id}" for file_id in wanted)
        self._say(f"batcher fetch -o {left.pictures}{named} -l {left.ledger}")
        return await fetch_pictures(self._settings(url), self._console, left.pictures, recordings=wanted)

    async def _report(self, url: str) -> int:
        if not (self._has("jinja2", "the report", REPORT) and self._has("PIL", "the report", REPORT)):
            return 0
        from batcher.cli.commands.report import write_report

        left = self._left
        pictures = left.pictures if left.pictures.is_dir() else None
        named = f" --pictures {pictures}" if pictures else ""
        self._say(f"batcher report -o {left.report}{named} -l {left.ledger}")
        return await write_report(
            self._settings(url), left.report, self._console, language="en", pictures=pictures, recordings=24
        )

    def _has(self, module: str, what: str, packages: tuple[str, ...]) -> bool:
        """Whether a package is there; if not, what goes without it is named at the end."""
        with contextlib.suppress(ImportError):
            import_module(module)
            return True
        words = f"Left out: {what}. {pip_install(*packages)} and the next demo has it."
        if words not in self._left_out:
            self._left_out.append(words)
        return False

    def _settings(self, url: str, **more: object) -> Settings:
        """Those of a command of the demo, and of nobody else: no file of settings is read."""
        known = {
            "endpoint": url,
            "app_id": SandboxSettings().app_id,
            "server_secret": SandboxSettings().server_secret,
            "ledger": str(self._left.ledger),
        }
        return load_settings(known | more)

    def _say(self, command: str) -> None:
        self._console.say("", f"$ {command}")


def _begin(left: Left) -> None:
    """A fresh manifest; what an earlier demo left and this one would not write over is removed."""
    try:
        left.folder.mkdir(parents=True, exist_ok=True)
        of_ledger = [Path(f"{left.ledger}{end}") for end in _FROM_OLD_LEDGERS]
        for old in (left.ledger, *of_ledger, left.results, left.discovered, left.report):
            old.unlink(missing_ok=True)
        shutil.copyfile(bundled("sample_manifests") / "demo.csv", left.manifest)
    except OSError as exc:
        raise BatcherError(f"--folder {left.folder}: cannot be used: {exc.strerror}") from exc


def _discovered_ids(manifest: Path) -> tuple[FileId, ...]:
    """The recordings of a manifest, if there is one."""
    if not manifest.exists():
        return ()
    with manifest.open(encoding="utf-8", newline="") as file:
        return tuple(FileId(row["file_id"]) for row in csv.DictReader(file))


async def _refuse_others(left: Left) -> None:
    """Make sure that whatever the demo would write over is a demo's.

    Raises:
        SettingsError: it is not.
    """
    there = await asyncio.to_thread(lambda: [name for name, path in left.named().items() if path.exists()])
    if not there:
        return
    bound = None
    if left.ledger.name in there:
        with contextlib.suppress(LedgerError):
            async with await open_for_reading(left.ledger) as opened:
                bound = await opened.bound_to()
    if bound != (SandboxSettings().app_id, EndpointKind.OTHER):
        raise SettingsError(f"--folder {left.folder}: {there[0]} is not a demo's; choose another folder")
