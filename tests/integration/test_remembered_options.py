"""The ledger remembers how a manifest was read, and which invalid rows a later load has mended."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.referee import referee

from batcher.api.ledger import open_ledger, read_ledger
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.rounded_ids import HEAD_ROWS


def write_ids(path: Path, ids: Sequence[str]) -> Path:
    """Write a manifest of ids alone."""
    return write_manifest(path, [[one] for one in ids])


async def test_run_without_options_uses_those_of_the_last_load(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A manifest that has grown is read as on the day before, which one line says; nothing is sent twice."""
    ids = tencent_ids(12)
    async with serving(cli) as sandbox:
        assert (await cli.run(manifest(ids[:8]), *PICTURES)).code == 0
        done = await cli.run(manifest(ids))
        assert done.code == 0, done.stderr
        assert done.stderr.count("archive.csv: read as in its last load, with --vendor Tencent") == 1
        rows = await referee(cli, sandbox)
    assert len(sandbox.log) == 12
    assert {(row["vendor"], row["definition"], row["offsets"]) for row in rows} == {("Tencent", "10", "1;2")}


async def test_dry_run_and_export_of_a_loaded_manifest_need_no_options(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Both match every row with its submission, and stdout holds nothing but results."""
    archive = manifest(tencent_ids(5))
    assert (await cli("load", archive, *PICTURES)).code == 0
    dry = await cli("run", archive, "--dry-run")
    assert dry.code == 0, dry.stderr
    assert "would be sent   5" in dry.stdout + dry.stderr
    exported = await cli("export", archive)
    assert [row["status"] for row in csv.DictReader(exported.stdout.splitlines())] == ["pending"] * 5
    assert "read as in its last load" in exported.stderr


async def test_given_option_wins_over_the_remembered_one(cli: Cli, manifest: Callable[..., Path]) -> None:
    """One changed option changes nothing else, and is the remembered one from then on."""
    archive = manifest(tencent_ids(5))
    assert (await cli("load", archive, *PICTURES)).code == 0
    changed = await cli("load", archive, "--definition", "20", "--allow-resubmit")
    assert changed.code == 0, changed.stderr
    assert "--vendor Tencent --offset 1 --offset 2" in changed.stderr
    exported = await cli("export", archive)
    found = {(row["definition"], row["offsets"]) for row in csv.DictReader(exported.stdout.splitlines())}
    assert found == {("20", "1;2")}


async def test_encoding_and_sheet_of_a_manifest_are_remembered(cli: Cli, tmp_path: Path) -> None:
    """A file in GB18030 is read again without naming its encoding."""
    path = tmp_path / "archive.csv"
    path.write_bytes("file_id,标题\n1397757890000104729,会议\n".encode("gb18030"))
    assert (await cli("load", path, *PICTURES)).code == 2
    assert (await cli("load", path, *PICTURES, "--encoding", "gb18030")).code == 0
    again = await cli("load", path)
    assert again.code == 0, again.stderr
    assert "--encoding gb18030" in again.stderr
    assert "会议" in (await cli("export", path)).stdout


async def test_allowed_resubmission_is_not_remembered(cli: Cli, manifest: Callable[..., Path]) -> None:
    """To pay a second time is a decision for one load."""
    archive = manifest(tencent_ids(5))
    async with serving(cli) as sandbox:
        assert (await cli.run(archive, *PICTURES, "--allow-resubmit")).code == 0
        refused = await cli("load", archive, "--definition", "20")
        assert refused.code == 2
        assert "--allow-resubmit" in refused.stderr
    assert len(sandbox.log) == 5


async def test_stream_has_no_memory(cli: Cli) -> None:
    """Two streams are not the same manifest."""
    [one, two] = tencent_ids(2)
    assert (await cli("load", "-", *PICTURES, stdin=f"file_id\n{one}\n".encode())).code == 0
    again = await cli("load", "-", stdin=f"file_id\n{two}\n".encode())
    assert again.code != 0
    assert "last load" not in again.stderr


async def test_mended_row_is_not_invalid_any_more(cli: Cli, tmp_path: Path) -> None:
    """A corrected manifest leaves no invalid row in status, summary, report and exit code."""
    path, ids = tmp_path / "archive.csv", tencent_ids(4)
    write_ids(path, [*ids[:3], "1.39776E+18"])
    async with serving(cli) as sandbox:
        assert (await cli.run(path, *PICTURES)).code == 1
        assert (await cli.status())["invalid_rows"] == 1
        write_ids(path, ids)
        done = await cli.run(path)
        assert done.code == 0, done.stderr
        assert "invalid rows" not in done.stderr
        assert (await cli.status())["invalid_rows"] == 0
        report = await cli("report", "-o", "report.html")
        assert report.code == 0, report.stderr
        assert "1.39776E+18" not in (tmp_path / "report.html").read_text("utf-8")
    assert len(sandbox.log) == 4


async def test_row_that_lacked_an_option_is_mended_by_the_option(cli: Cli, tmp_path: Path) -> None:
    """The same file with the option that some rows lacked has no invalid rows left."""
    path = tmp_path / "archive.csv"
    rows = [["/record/a.mp4", "5"], ["/record/b.mp4", ""]]
    write_manifest(path, rows, ["file_id", "interval"])
    assert (await cli("load", path, "--vendor", "Huawei")).code == 1
    assert (await cli("load", path, "--interval", "7")).code == 0
    assert (await cli.status())["invalid_rows"] == 0


async def test_invalid_row_stays_while_the_file_has_it(cli: Cli, tmp_path: Path) -> None:
    """It is reported once, and counted as long as loads of the unchanged and of the longer file meet it."""
    path, ids = tmp_path / "archive.csv", tencent_ids(3)
    async with serving(cli):
        for rows, code in (([*ids[:2], "x"], 1), ([*ids[:2], "x"], 0), ([*ids[:2], "x", ids[2]], 0)):
            write_ids(path, rows)
            done = await cli.run(path, *PICTURES)
            assert done.code == code, done.stderr
            assert (await cli.status())["invalid_rows"] == 1


async def test_invalid_rows_are_named_in_the_order_of_the_file(cli: Cli, tmp_path: Path) -> None:
    """Rows twice in a file are named at their first place, under a heading that counts the different ones."""
    path = write_ids(tmp_path / "archive.csv", ["aa", "bb", "cc", "aa", "dd", "ee", "ff", *tencent_ids(1)])
    done = await cli("load", path, *PICTURES, "-q")
    places = [line.split(",")[0].split()[-1] for line in done.stderr.splitlines() if "line" in line]
    assert places == ["2", "3", "4", "6", "7"]
    assert "6 new invalid rows, the first 5" in done.stderr
    dry = await cli("run", path, "--dry-run", "--json", "-l", "other.db", *PICTURES)
    assert json.loads(dry.stdout)["invalid"] == 7


async def test_details_of_invalid_rows_are_where_the_summary_says(cli: Cli, tmp_path: Path) -> None:
    """A run without manifests names the manifest whose export holds the invalid rows."""
    path = write_ids(tmp_path / "nightly.csv", [*tencent_ids(2), "x"])
    assert (await cli("load", path, *PICTURES)).code == 1
    async with serving(cli):
        done = await cli.run("-q")
    assert done.code == 1
    assert re.search(rf"Details: batcher export (-l \S+ )?{path} -o results.csv", done.stderr)
    exported = await cli("export", path)
    assert "invalid" in exported.stdout


@pytest.mark.about_files
async def test_damaged_ledger_is_named_before_options_that_it_cannot_give(cli: Cli, tmp_path: Path) -> None:
    """Exit code 6, and not a refusal of the manifest for options that were given on the day before."""
    path = write_ids(tmp_path / "archive.csv", tencent_ids(3))
    assert (await cli("load", path, *PICTURES)).code == 0
    (tmp_path / "batcher.db").write_bytes((tmp_path / "batcher.db").read_bytes()[:100_000])
    done = await cli("load", path)
    assert done.code == 6, done.stderr


async def test_load_that_breaks_off_mends_nothing(cli: Cli, tmp_path: Path) -> None:
    """A manifest that ends in the middle leaves its invalid row as it was, and so does another manifest."""
    path, ids = tmp_path / "archive.csv", tencent_ids(HEAD_ROWS + 2)
    write_ids(path, [*ids[:2], "x"])
    assert (await cli("load", path, *PICTURES)).code == 1
    text = "\n".join(["file_id", *ids])
    path.write_bytes(gzip.compress(text.encode())[:-100])
    assert (await cli("load", path)).code == 2
    assert (await cli("load", write_ids(tmp_path / "other.csv", ids[:2]), *PICTURES)).code == 0
    assert (await cli.status())["invalid_rows"] == 1


async def test_program_reads_results_of_a_manifest_as_it_was_loaded(tmp_path: Path) -> None:
    """The library remembers as the command line does."""
    path = write_ids(tmp_path / "archive.csv", tencent_ids(3))
    how = ReadOptions(Defaults(vendor="Tencent", definition=10, offsets=(1, 2.5)))
    async with open_ledger(tmp_path / "batcher.db") as ledger:
        await ledger.load(path, how=how)
        again = await ledger.load(path)
        assert again.loads[0].new == 0
    async with read_ledger(tmp_path / "batcher.db") as ledger:
        found = [result async for result in ledger.results(path)]
    assert [(one.status, one.offsets) for one in found] == [("pending", ("1", "2.5"))] * 3


@pytest.mark.parametrize(
    ("given", "kept", "expected", "words"),
    [
        (Defaults(), {"vendor": "hw"}, Defaults(vendor="hw"), ("--vendor", "hw")),
        (Defaults(interval=5), {"vendor": "hw"}, Defaults("hw", interval=5), ("--vendor", "hw")),
        (Defaults(vendor="Tencent"), {"vendor": "hw"}, Defaults(vendor="Tencent"), ()),
        (
            Defaults("huawei"),
            {"vendor": "hw", "interval": "5"},
            Defaults("huawei", interval="5"),
            ("--interval", "5"),
        ),
        (Defaults("huawei"), {"vendor": "Tencent", "offsets": "1"}, Defaults("huawei"), ()),
        (Defaults(offsets=(3,)), {"type": "SampleSnapshot"}, Defaults(offsets=(3,)), ()),
        (
            Defaults(type="SnapshotByTimeOffset"),
            {"offsets": "1"},
            Defaults(type="SnapshotByTimeOffset", offsets=("1",)),
            ("--offset", "1"),
        ),
        (Defaults(type="SampleSnapshot"), {"offsets": "1;2"}, Defaults(type="SampleSnapshot"), ()),
        (Defaults(), {"offsets": "1;2"}, Defaults(offsets=("1", "2")), ("--offset", "1", "--offset", "2")),
        (Defaults(), {"unknown": "1"}, Defaults(), ()),
    ],
)
def test_read_options_filled_from_earlier_ones(
    given: Defaults, kept: dict[str, str], expected: Defaults, words: tuple[str, ...]
) -> None:
    """Options that are given win; type and offsets are taken together or not at all."""
    assert ReadOptions(given).filled_from(kept) == (ReadOptions(expected), words)


def test_read_options_kept_and_filled_are_the_same() -> None:
    """What is kept for the ledger brings back the options, except those for one load."""
    defaults = Defaults("Huawei", "SnapshotByTimeOffset", None, "5", ("1", "2.5"))
    how = ReadOptions(defaults, "gb18030", trust_ids=True, format="csv", sheet=None)
    assert ReadOptions(trust_ids=True).filled_from(how.kept())[0] == how
    assert not ReadOptions().filled_from(how.kept())[0].trust_ids
