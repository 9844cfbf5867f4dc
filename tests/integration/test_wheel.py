"""The package as it is installed: built, put into an environment of its own, used from another folder."""

from __future__ import annotations

import asyncio
import os
import sys
import zipfile
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.referee import referee

ROOT = Path(__file__).parents[2]


async def command(*args: str | Path, cwd: Path = ROOT) -> str:
    """Run a tool to its end; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, args),
        cwd=cwd,
        env={
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BATCHER_"))
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def installed(folder: Path) -> Path:
    """Build the wheel and install it with what it needs; gives the environment's interpreter."""
    await command(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT
    )
    [wheel] = (folder / "dist").glob("zego_batcher-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "batcher/migrations/env.py" in names
    assert "batcher/sample_manifests/demo.csv" in names
    assert "batcher/py.typed" in names
    assert {f"batcher/report/html/page.{end}" for end in ("html", "css", "js")} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "bench", "migrations"))]
    environment = folder / "environment"
    await command(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    constraints = ("-c", ROOT / "constraints.txt")
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check")
    await command(*pip, "install", "--no-compile", *constraints, wheel, cwd=folder)
    return python


@pytest.mark.xdist_group("wheel")
async def test_wheel_does_the_whole_job(tmp_path: Path) -> None:
    """Installed outside the checkout it loads, runs and exports, with migrations and samples of its own."""
    python = await installed(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    cli = Cli(work, python=str(python))
    where = (
        "import batcher.config.resources as b; print(b.bundled('migrations'), b.bundled('sample_manifests'))"
    )
    places = (await command(python, "-c", where, cwd=work)).split()
    assert [Path(place).name for place in places] == ["migrations", "sample_manifests"]
    assert all(Path(place).is_relative_to(tmp_path / "environment") for place in places)
    ids = tencent_ids(20)
    archive = write_manifest(work / "archive.csv", ([one] for one in ids))
    async with serving(cli) as sandbox:
        loaded = await cli("load", archive, *PICTURES)
        assert loaded.code == 0, loaded.stderr
        done = await cli.run()
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    rows = await cli.export(archive, *PICTURES)
    assert [(row["file_id"], row["status"]) for row in rows] == [(one, "submitted") for one in ids]
    script = await command(python.parent / "batcher", "--version", cwd=work)
    assert script.startswith("batcher ")
