"""The demo: the whole way once, and nothing left behind but what it names."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.cli import Cli, Done, until
from support.export_columns import COLUMNS
from support.ledger_sql import query
from support.video_times import read_time_ms

NAMED = {"recordings.csv", "results.csv", "videos", "videos.csv", "pictures", "report.html", "ledger.db"}
LOCKS = {"ledger.db.lock", "ledger.db.track.lock", "ledger.db.fetch.lock", "ledger.db-shm", "ledger.db-wal"}


def left(folder: Path) -> set[str]:
    """The files of a folder, apart from the companion files of a ledger."""
    return {path.name for path in folder.iterdir()} - LOCKS


def times_on(page: str) -> list[int | None]:
    """The times that the pictures of the contact sheet show, in their order."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [read_time_ms(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


@pytest.mark.xdist_group("demo")
async def test_demo_makes_everything_from_videos_to_a_report(cli: Cli) -> None:
    """The report has real frames, no account is needed, and the demo can be repeated."""
    cli.env["BATCHER_APP_ID"] = "not a number"  # nothing of a real account takes part
    for _ in range(2):
        done = await cli("demo")
        assert done.code == 0, done.stderr
    assert [path.name for path in cli.folder.iterdir()] == ["demo"]
    demo = cli.folder / "demo"
    assert left(demo) == NAMED
    assert all(name in done.stderr.partition("In demo/:")[2] for name in NAMED)
    assert "Left out" not in done.stderr
    header, *_ = (demo / "results.csv").read_text("utf-8").splitlines()
    assert header.startswith(",".join(COLUMNS))
    with (demo / "videos.csv").open(encoding="utf-8", newline="") as file:
        names = {row["name"]: row["file_id"] for row in csv.DictReader(file)}
    assert set(names) == {"lesson-1.mp4", "lesson-2.mp4", "lesson-3.mp4", "broken-off.mp4"}
    page = (demo / "report.html").read_text("utf-8")
    assert "57 of 60 submissions have a task id" in page
    assert names["broken-off.mp4"] in page.partition('id="without_pictures"')[2]
    seen = [time for time in times_on(page) if time is not None]
    wanted = [offset for lasts_s in (6, 4, 5) for offset in range(500, lasts_s * 1000, 1000)]
    assert len(seen) == len(wanted) == 15
    pairs = zip(sorted(seen), sorted(wanted), strict=True)
    assert [(time, offset) for time, offset in pairs if not offset - 410 <= time <= offset] == []
    [(whole,)] = query(demo / "ledger.db", "SELECT count(*) FROM pictures WHERE state = 'whole'")
    assert whole == 15


async def without(cli: Cli, *packages: str) -> Done:
    """The demo on a machine on which packages are not there."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {packages!r}:\n"
        "            raise ModuleNotFoundError('not there', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "sys.argv = ['batcher', 'demo']\n"
        "from batcher.cli import main\n"
        "main()\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        cwd=cli.folder,
        env=cli.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Done(process.returncode or 0, out.decode(), err.decode())


@pytest.mark.xdist_group("demo")
async def test_demo_without_extras_names_the_steps_left_out(cli: Cli) -> None:
    """The archive is submitted without any extra."""
    done = await without(cli, "av", "PIL", "jinja2")
    assert done.code == 0, done.stderr
    assert left(cli.folder / "demo") == {"recordings.csv", "results.csv", "ledger.db"}
    for packages in ("'av>=17' 'Pillow>=11'", "'Pillow>=11'", "'Jinja2>=3.1' 'MarkupSafe>=2.1' 'Pillow>=11'"):
        assert f"pip install {packages} and the next demo has it" in done.stderr
    assert done.stderr.count("Left out:") == 3


async def test_demo_refuses_a_folder_with_other_files(cli: Cli) -> None:
    """A file under a name that the demo uses stays as it is."""
    for name in ("report.html", "videos"):
        folder = cli.folder / f"with-{name}"
        folder.mkdir()
        (folder / name).mkdir() if name == "videos" else (folder / name).write_text("mine")
        done = await cli("demo", "--folder", folder.name)
        assert done.code == 2
        assert f"{name} is not a demo's; choose another folder" in done.stderr
        assert os.listdir(folder) == [name]  # noqa: PTH208 - names are wanted


async def test_demo_stopped_by_a_signal_ends_with_the_step(cli: Cli) -> None:
    """In the middle of its first run it stops, and no further step begins."""
    going = await cli.start("demo")
    ledger = cli.folder / "demo" / "ledger.db"
    await until(lambda: ledger.exists() and ledger.stat().st_size > 0)
    begun = "SELECT count(*) FROM sqlite_master WHERE name = 'attempts'"
    await until(
        lambda: query(ledger, begun)[0][0] > 0 and query(ledger, "SELECT count(*) FROM attempts")[0][0] > 3
    )
    going.send_signal(signal.SIGINT)
    done = await cli.finish(going)
    assert done.code == 130
    assert left(cli.folder / "demo") == {"recordings.csv", "ledger.db"}
