"""The files of ``demo``: their names, and the check that nothing but an earlier demo's is overwritten.

Called by that command.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import shutil
from pathlib import Path

from batcher.config.resources import bundled
from batcher.errors import BatcherError, LedgerError, SettingsError
from batcher.files import exists, reason_of
from batcher.ledger.reader import open_for_reading
from batcher.model.submission import EndpointKind, FileId
from batcher.sandbox import SandboxSettings

_FROM_OLD_LEDGERS = ("-wal", "-shm", ".lock", ".track.lock", ".fetch.lock")


class DemoFiles:
    """The files that the demo writes, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "recordings.csv"
        self.ledger = folder / "ledger.db"
        self.results = folder / "results.csv"
        self.videos = folder / "videos"  # those that the second sandbox serves
        self.discovered = folder / "videos.csv"
        self.pictures = folder / "pictures"
        self.report = folder / "report.html"

    def named(self) -> dict[str, Path]:
        """All files by name, the ledger last."""
        paths = (self.manifest, self.results, self.videos, self.discovered, self.pictures, self.report)
        return {path.name: path for path in (*paths, self.ledger)}


def begin(files: DemoFiles) -> None:
    """Write the manifest, and remove the files of an earlier demo that would not be overwritten."""
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        of_ledger = [Path(f"{files.ledger}{end}") for end in _FROM_OLD_LEDGERS]
        for old in (files.ledger, *of_ledger, files.results, files.discovered, files.report):
            old.unlink(missing_ok=True)
        shutil.copyfile(bundled("sample_manifests") / "demo.csv", files.manifest)
    except OSError as exc:
        raise BatcherError(
            f"--folder {files.folder}: cannot be used: {reason_of(exc, files.folder, to='write')}"
        ) from exc


def discovered_ids(manifest: Path) -> tuple[FileId, ...]:
    """Return the recordings of a manifest; none when it is missing."""
    if not exists(manifest):
        return ()
    with manifest.open(encoding="utf-8", newline="") as file:
        return tuple(FileId(row["file_id"]) for row in csv.DictReader(file))


async def check_folder(files: DemoFiles) -> None:
    """Check that the files in the folder are those of an earlier demo.

    Raises:
        SettingsError: they are not.
    """
    there = await asyncio.to_thread(lambda: [name for name, path in files.named().items() if exists(path)])
    if not there:
        return
    bound = None
    if files.ledger.name in there:
        with contextlib.suppress(LedgerError):
            async with await open_for_reading(files.ledger) as opened:
                bound = await opened.bound_to()
    if bound != (SandboxSettings().app_id, EndpointKind.OTHER):
        raise SettingsError(f"--folder {files.folder}: {there[0]} is not a demo's; choose another folder")
