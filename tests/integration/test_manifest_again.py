"""The same thing asked for twice is asked for once: manifests loaded again, longer, shuffled or changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from support.cli import PICTURES, Cli, Json, serving, tencent_ids, write_manifest
from support.manifest_files import prepare_all
from support.referee import referee

from batcher.ledger.run_ledger import open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.model.submission import FileId
from batcher.sandbox import Fault, SandboxSettings
from batcher.submit.loader import load_alone

HOW = ReadOptions(Defaults(vendor="Tencent", definition="10", offsets=("1", "2")))
CHANGED = ("--vendor", "Tencent", "--definition", "20", "--offset", "1", "--offset", "2")


async def test_known_rows_are_not_sent_again(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The same rows send nothing, five more send five, another order or name sends nothing."""
    ids = tencent_ids(45)
    async with serving(cli) as sandbox:
        for rows, name, expected in (
            (ids[:40], "archive.csv", 40),
            (ids[:40], "archive.csv", 40),
            (ids, "archive.csv", 45),
            (Random(3).sample(ids, len(ids)), "archive.csv", 45),
            (ids[5:30], "other.csv", 45),
        ):
            done = await cli.run(manifest(rows, name), *PICTURES)
            assert done.code == 0, done.stderr
            assert len(sandbox.log) == expected
        rows_out = await referee(cli, sandbox)
    assert [row["file_id"] for row in rows_out] == ids
    assert {row["source"].rpartition("/")[2] for row in rows_out} == {"archive.csv"}


async def test_numbers_are_compared_as_numbers(cli: Cli, tmp_path: Path) -> None:
    """``10`` and ``010`` are one, parameters without effect count for nothing, offsets keep their order."""
    [one] = tencent_ids(1)
    header = ["file_id", "vendor", "definition", "interval", "offsets"]
    rows = [
        [one, "Tencent", "10", "", "1;2"],
        [one, "tencent", "010", "7", "1.0|2.00"],
        [one, "Tencent", "10", "", "2;1"],
    ]
    async with serving(cli) as sandbox:
        done = await cli.run(write_manifest(tmp_path / "archive.csv", rows, header))
        assert done.code == 0, done.stderr
        exported = await referee(cli, sandbox)
    assert [row["offsets"] for row in exported] == ["1;2", "2;1"]
    assert len(sandbox.log) == 2


async def test_changed_default_does_not_buy_an_archive_twice(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Another ``--definition`` for recordings on record is refused with 2 and a reason, unless meant."""
    archive = manifest(tencent_ids(30))
    async with serving(cli) as sandbox:
        assert (await cli.run(archive, *PICTURES)).code == 0
        before = await cli.status()
        for command in ("run", "load"):
            refused = await cli(command, archive, *CHANGED)
            assert refused.code == 2
            assert "archive.csv" in refused.stderr
            assert "under other parameters" in refused.stderr
            assert "--allow-resubmit" in refused.stderr
        assert len(sandbox.log) == 30
        assert await cli.status() == before
        meant = await cli.run(archive, *CHANGED, "--allow-resubmit")
        assert meant.code == 0, meant.stderr
        assert len(sandbox.log) == 60
        rows = await referee(cli, sandbox)
        again = await cli.run(archive, *CHANGED)  # known under these parameters now
        assert again.code == 0, again.stderr
        assert len(sandbox.log) == 60
    assert {row["definition"] for row in rows} == {"10", "20"}


async def test_few_changed_recordings_are_accepted(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A tenth of a manifest under other parameters is taken as intended."""
    ids = tencent_ids(30)
    async with serving(cli) as sandbox:
        assert (await cli.run(manifest(ids[:3], "few.csv"), *PICTURES)).code == 0
        done = await cli.run(manifest(ids), *CHANGED)
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    assert len(sandbox.log) == 33


async def test_trouble_is_reported_once(cli: Cli, tmp_path: Path) -> None:
    """A run with invalid and rejected rows has exit code 1, the next one with nothing new 0."""
    ids = tencent_ids(4)
    rows = [[one] for one in [*ids, "1.39776E+18", "room-1"]]
    archive = write_manifest(tmp_path / "archive.csv", rows)
    faults = {ids[0]: Fault.parse("code:41003")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        first = await cli.run(archive, *PICTURES)
        assert first.code == 1
        assert "archive.csv line 6, file_id:" in " ".join(first.stderr.split())
        assert "archive.csv line 7, file_id:" in " ".join(first.stderr.split())
        assert "code 41003" in first.stderr
        second = await cli.run(archive, *PICTURES)
        assert second.code == 0, second.stderr
        write_manifest(archive, [*rows, ["room-2"]])
        third = await cli.run(archive, *PICTURES)
        assert third.code == 1
        assert "line 8" in third.stderr
        assert "line 7" not in third.stderr
        assert (await cli.run()).code == 0
        await referee(cli, sandbox)
    assert len(sandbox.log) == 4


async def test_load_with_new_invalid_rows_exits_1(cli: Cli, tmp_path: Path) -> None:
    """Exit code 1 when rows are invalid and new, 0 when they are known."""
    archive = write_manifest(tmp_path / "archive.csv", [[tencent_ids(1)[0]], ["room-1"]])
    assert (await cli("load", archive, *PICTURES)).code == 1
    assert (await cli("load", archive, *PICTURES)).code == 0
    status: Json = await cli.status()
    assert status["invalid_rows"] == 1
    assert status["app_id"] is None


async def test_stream_is_no_file_of_that_name(cli: Cli) -> None:
    """A pipe is read each time, also where a file is called ``-``."""
    one, two = tencent_ids(2)
    (cli.folder / "-").touch()
    for file_id in (one, two):
        loaded = await cli("load", "-", *PICTURES, stdin=f"file_id\n{file_id}\n".encode())
        assert loaded.code == 0, loaded.stderr
    assert (await cli.status())["submissions"]["total"] == 2


async def test_link_that_is_moved_on_while_others_are_loaded(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    """Rows that came from another file are not taken for those of the file that the link led to before."""
    ids = tencent_ids(3)
    first, before, after = (manifest([one], f"{name}.csv") for one, name in zip(ids, "abc", strict=True))
    current = tmp_path / "current.csv"
    current.symlink_to(before)
    async with await open_for_writing(tmp_path / "batcher.db") as ledger:
        prepared = prepare_all([str(first), str(current)], HOW)
        current.unlink()
        current.symlink_to(after)
        await load_alone(ledger, prepared)
        await load_alone(ledger, prepare_all([str(before)], HOW))
        assert set(await ledger.asked_before(map(FileId, ids))) == set(ids)
