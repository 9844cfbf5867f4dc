"""``demo``: rehearses the whole way on this machine, from recordings to pictures.

It carries out other commands one after the other, against two sandboxes: one with an archive in which
everything goes wrong that can, one with real videos. Steps whose packages are not installed are left out, and
named. It writes nothing outside of its folder.
"""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.exit_codes import ExitCode
from batcher.files import exists, is_folder
from batcher.report.formatting import count
from batcher.requirements import MEDIA, REPORT, pip_install

if TYPE_CHECKING:
    from batcher.cli.demo_files import DemoFiles
    from batcher.cli.terminal.console import Console


@command("demo", options={})
async def demo(
    call: Invocation,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the demo writes its files.")
    ] = Path("demo"),
) -> int:
    """Rehearse everything on this machine, without an account.

    Submits a sample archive to a sandbox, makes a few videos, discovers and submits them, tracks all tasks,
    fetches the pictures, and draws the report. Needs no account and no network. Writes one folder and nothing
    else; steps whose packages are not installed are left out, and named.

    Exit codes: 0.

    Example:  batcher demo
    """
    return await run_demo(folder, call.console)


LATENCY_MS = 60
"""The delay of the sandboxes' answers: about that of a service in the same country."""

OFFSETS = ("0.5", "1.5", "2.5", "3.5", "4.5", "5.5")
"""The seconds at which pictures of the videos are taken; some videos are shorter."""

_STOPPED = (ExitCode.SIGINT, ExitCode.SIGTERM)


async def run_demo(folder: Path, console: Console) -> int:
    """Carry out all steps against sandboxes on this machine; a signal ends them."""
    import asyncio

    from batcher.cli.demo_files import DemoFiles, begin, check_folder
    from batcher.cli.descriptors import LEAST_WITH_SANDBOX, check_room

    check_room(LEAST_WITH_SANDBOX)
    files = DemoFiles(folder)
    await check_folder(files)
    await asyncio.to_thread(begin, files)
    for name in [name for name in os.environ if name.startswith("BATCHER_")]:
        del os.environ[name]  # no setting of a real account may take part
    code = await _Demo(files, console).run()
    if code in _STOPPED:
        return code
    there = await asyncio.to_thread(lambda: [name for name, path in files.named().items() if exists(path)])
    console.say("", f"In {folder}/: {', '.join(there)}.")
    if "report.html" in there:
        console.say(f"Open {files.report} in a browser: all of this on one page, pictures too.")
    return 0


class _Demo:
    """The steps, each of them a command; a signal ends the step and the demo."""

    def __init__(self, files: DemoFiles, console: Console) -> None:
        self._files = files
        self._console = console
        self._left_out: list[str] = []
        self._has_fetched = False

    async def run(self) -> int:
        """Carry out all steps; return the exit code of a signal, else 0."""
        from batcher.sandbox import Sandbox, SandboxSettings

        async with Sandbox(SandboxSettings(latency_ms=LATENCY_MS)).serve() as url:
            self._console.say(
                f"A sandbox serves the API at {url}: 20 calls a second,",
                "some recordings missing or at the wrong vendor, one answer lost.",
            )
            for step in (self._archive, self._results, self._videos, self._fetched, self._report):
                if (code := await step(url)) in _STOPPED:
                    return code
        for omission in self._left_out:
            self._console.say(omission)
        return 0

    async def _archive(self, url: str) -> int:
        """Submit an archive and track its tasks."""
        from batcher.cli.commands.run import run_manifests

        files = self._files
        self._say(f"batcher run {files.manifest} --track -l {files.ledger}")
        return await run_manifests(self._call(url, track=True), [str(files.manifest)], as_json=False)

    async def _results(self, url: str) -> int:
        """Export the results of the archive."""
        from batcher.cli.commands.export import export

        files = self._files
        self._say(f"batcher export {files.manifest} -l {files.ledger} -o {files.results}")
        return await export(self._call(url), str(files.manifest), files.results, format_="csv")

    async def _videos(self, _url: str) -> int:
        """Make videos, discover, submit and track them, and fetch their pictures."""
        if not self._has("av", "videos to take pictures of", MEDIA):
            return 0
        import asyncio

        from batcher.sandbox import Sandbox, SandboxSettings, TaskSettings
        from batcher.sandbox.demo_videos import make_videos

        files = self._files
        made = await asyncio.to_thread(make_videos, files.videos)
        self._console.say(
            "",
            f"A second sandbox has {count(len(made), 'recording')} of its own, made just now in "
            f"{files.videos}/:",
            "moving pictures that show their time, one of them cut off, and sound alone.",
        )
        settings = SandboxSettings(latency_ms=LATENCY_MS, media=files.videos, tasks=TaskSettings())
        async with Sandbox(settings).serve() as url:
            for step in (self._discovered, self._submitted, self._fetch):
                if (code := await step(url)) in _STOPPED:
                    return code
        return 0

    async def _discovered(self, url: str) -> int:
        """List the videos as a manifest."""
        from batcher.cli.commands.discover import list_recordings
        from batcher.cli.discovery_request import DiscoveryRequest

        files = self._files
        self._say(f"batcher discover --vendor Tencent --since 24h --category Video -o {files.discovered}")
        request = DiscoveryRequest(since="24h", category=("Video",))
        return await list_recordings(self._call(url, vendor="Tencent"), request, files.discovered)

    async def _submitted(self, url: str) -> int:
        """Submit the videos and track their tasks."""
        from batcher.cli.commands.run import run_manifests

        files = self._files
        offsets = " ".join(f"--offset {offset}" for offset in OFFSETS)
        self._say(
            f"batcher run {files.discovered} --vendor Tencent --definition 10 {offsets} "
            f"--track -l {files.ledger}"
        )
        call = self._call(url, vendor="Tencent", definition="10", offset=OFFSETS, track=True)
        return await run_manifests(call, [str(files.discovered)], as_json=False)

    async def _fetched(self, url: str) -> int:
        """Fetch the archive's pictures when there were no videos."""
        return 0 if self._has_fetched else await self._fetch(url)

    async def _fetch(self, url: str) -> int:
        """Fetch the pictures of the discovered videos, or all when none were discovered."""
        if not self._has("PIL", "fetching pictures", ("Pillow",)):
            return 0
        import asyncio

        from batcher.cli.commands.fetch import fetch
        from batcher.cli.demo_files import discovered_ids

        files, self._has_fetched = self._files, True
        recordings = await asyncio.to_thread(discovered_ids, files.discovered)
        named = "".join(f" --recording {file_id}" for file_id in recordings)
        self._say(f"batcher fetch -o {files.pictures}{named} -l {files.ledger}")
        return await fetch(self._call(url), files.pictures, [*recordings])

    async def _report(self, url: str) -> int:
        """Draw the report."""
        if not (self._has("jinja2", "the report", REPORT) and self._has("PIL", "the report", REPORT)):
            return 0
        from batcher.cli.commands.report import report

        files = self._files
        pictures = files.pictures if is_folder(files.pictures) else None
        named = f" --pictures {pictures}" if pictures else ""
        self._say(f"batcher report -o {files.report}{named} -l {files.ledger}")
        return await report(self._call(url), files.report, pictures=pictures, recordings=24)

    def _has(self, module: str, what: str, packages: tuple[str, ...]) -> bool:
        """Whether a package is installed; if not, the step is named at the end as left out."""
        with contextlib.suppress(ImportError):
            import_module(module)
            return True
        words = f"Left out: {what}. {pip_install(*packages)} and the next demo has it."
        if words not in self._left_out:
            self._left_out.append(words)
        return False

    def _call(self, url: str, **more: object) -> Invocation:
        """Return the call of a step's command."""
        from batcher.config.examine import load_settings
        from batcher.sandbox import SandboxSettings

        known = {
            "endpoint": url,
            "app_id": SandboxSettings().app_id,
            "server_secret": SandboxSettings().server_secret,
            "ledger": str(self._files.ledger),
        }
        return Invocation("demo", {}, self._console, load_settings(known | more))

    def _say(self, command: str) -> None:
        self._console.say("", f"$ {command}")
