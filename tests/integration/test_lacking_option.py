"""A manifest in which every row lacks the same option is refused, and nothing of it is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_place import is_there

from batcher.manifest.rounded_ids import HEAD_ROWS

HUAWEI = [[f"/record/{n}.mp4"] for n in range(3)]


@pytest.mark.parametrize(
    ("header", "rows", "given", "option"),
    [
        (["file_id"], [[one] for one in tencent_ids(3)], (), "--vendor"),
        (["file_id"], HUAWEI, ("--vendor", "Huawei"), "--interval"),
        (["file_id"], [[one] for one in tencent_ids(3)], ("--vendor", "Tencent"), "--definition"),
        (
            ["file_id"],
            HUAWEI,
            ("--vendor", "Huawei", "--interval", "5", "--type", "SnapshotByTimeOffset"),
            "--offset",
        ),
        (["file_id", "interval"], [[*row, ""] for row in HUAWEI], ("--vendor", "Huawei"), "--interval"),
        (["file_id"], [["nan"], ["None"]], ("--vendor", "Huawei"), "--interval"),
    ],
)
async def test_manifest_whose_rows_all_lack_an_option_is_refused(
    cli: Cli, tmp_path: Path, header: list[str], rows: list[list[str]], given: tuple[str, ...], option: str
) -> None:
    """`load`, `run` and a dry run end with 2, name the option, and make no ledger."""
    path = write_manifest(tmp_path / "archive.csv", rows, header)
    async with serving(cli, ledger_made=False) as sandbox:
        for command in (("load",), ("run", "--new-ledger"), ("run", "--dry-run")):
            refused = await cli(*command, path, *given)
            assert refused.code == 2, refused.stderr
            column = "offsets" if option == "--offset" else option.removeprefix("--")
            said = f"archive.csv: every row lacks {column}. Give {option}"
            assert said in refused.stderr
            assert not is_there(tmp_path / "batcher.db")
    assert sandbox.log == []


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (["/a.mp4", "Hawei", "5"], "1 row with another fault (line 5, vendor: Hawei is not one of"),
        (["/a.mp4", "", "5 s"], "1 row with another fault (line 5, interval: 5 s is not a plain number"),
        (["nan", "", ""], "1 row with another fault (line 5, file_id: nan is a placeholder"),
        (["nan", "Hawei", ""], "1 row with another fault (line 5, file_id: nan is a placeholder"),
        (["nan", "Tencent", ""], "1 row with another fault (line 5, file_id: nan is a placeholder"),
        (["a", "b", "c", "d"], "1 row with another fault (line 5, row: has 4 cells"),
    ],
)
async def test_rows_with_other_faults_do_not_decide_whether_an_option_was_forgotten(
    cli: Cli, tmp_path: Path, odd: list[str], said: str
) -> None:
    """A wrong value in some rows does not hide that all others lack an option; the refusal counts them."""
    rows = [[*row, "", ""] for row in HUAWEI]
    path = write_manifest(tmp_path / "archive.csv", [*rows, odd], ["file_id", "vendor", "interval"])
    refused = await cli("load", path, "--vendor", "Huawei")
    assert refused.code == 2, refused.stderr
    assert f"archive.csv: every row lacks interval, except {said}" in refused.stderr
    assert "Give --interval, or add a column of that name" in refused.stderr
    assert not (tmp_path / "batcher.db").exists()
    write_manifest(path, [odd] * 2 + rows, ["file_id", "vendor", "interval"])
    again = await cli("load", path, "--vendor", "Huawei")
    assert (again.code, "except 2 rows with other faults (first line 2, " in again.stderr) == (2, True)


async def test_rows_with_other_faults_before_all_that_are_judged_first_do_not_decide(
    cli: Cli, tmp_path: Path
) -> None:
    """A file is read on until a row is valid, or to its end."""
    rows = [["nan", ""]] * HEAD_ROWS + [[one, ""] for one in tencent_ids(1)]
    path = write_manifest(tmp_path / "archive.csv", rows, ["file_id", "definition"])
    refused = await cli("load", path, "--vendor", "Tencent", "--offset", "1")
    assert refused.code == 2, refused.stderr
    assert f"every row lacks definition, except {HEAD_ROWS:,} rows with other faults" in refused.stderr
    write_manifest(path, [*rows, [*tencent_ids(2)[1:], "10"]], ["file_id", "definition"])
    assert (await cli("load", path, "--vendor", "Tencent", "--offset", "1")).code == 1


@pytest.mark.parametrize(
    "rows",
    [
        [["/a.mp4", "Huawei", ""], ["1397757898183024945", "Tencent", ""]],
        [["/a.mp4", "Huawei", "5 s"], ["/b.mp4", "Hawei", ""]],
    ],
)
async def test_rows_that_lack_different_options_or_none_are_invalid_rows(
    cli: Cli, tmp_path: Path, rows: list[list[str]]
) -> None:
    """No one option would make them valid."""
    path = write_manifest(tmp_path / "archive.csv", rows, ["file_id", "vendor", "interval"])
    done = await cli("load", path)
    assert done.code == 1, done.stderr
    assert (await cli.status())["invalid_rows"] == 2


async def test_manifest_of_which_one_row_has_the_option_is_loaded(cli: Cli, tmp_path: Path) -> None:
    """The others are invalid rows, also when the one row comes after all that are judged first."""
    rows = [[one, ""] for one in tencent_ids(HEAD_ROWS + 1)]
    rows[-1][1] = "10"
    path = write_manifest(tmp_path / "archive.csv", rows, ["file_id", "definition"])
    done = await cli("load", path, "--vendor", "Tencent", "--offset", "1")
    assert done.code == 1, done.stderr
    assert (await cli.status())["invalid_rows"] == HEAD_ROWS


async def test_long_manifest_whose_rows_all_lack_an_option_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Every row is looked at before a file is refused; a stream is refused by its first rows."""
    path = write_manifest(tmp_path / "archive.csv", [[one] for one in tencent_ids(HEAD_ROWS + 1)])
    for source, name, stdin in ((path, str(path), b""), ("-", "stdin", path.read_bytes())):
        refused = await cli("load", source, "--vendor", "Tencent", "--offset", "1", stdin=stdin)
        assert refused.code == 2
        assert f"{name}: every row lacks definition" in refused.stderr


async def test_misspelt_column_is_named_with_the_refusal(cli: Cli, tmp_path: Path) -> None:
    """The user learns of the column that was meant before options hide the mistake."""
    path = write_manifest(tmp_path / "archive.csv", [[tencent_ids(1)[0], "Tencent"]], ["file_id", "vender"])
    refused = await cli("load", path)
    assert refused.code == 2
    assert "every row lacks vendor" in refused.stderr
    assert "the column vender has no effect; if vendor is meant" in refused.stderr


async def test_cut_off_last_row_has_no_say(cli: Cli, tmp_path: Path) -> None:
    """A file that broke off in its last id is refused for the option that all other rows lack."""
    path = tmp_path / "archive.csv"
    path.write_text("file_id\n" + "\n".join(tencent_ids(3))[:-8])
    refused = await cli("load", path)
    assert refused.code == 2
    assert "every row lacks vendor" in refused.stderr


async def test_export_of_a_manifest_that_was_never_loaded_names_the_option(cli: Cli, tmp_path: Path) -> None:
    """A copy has no options in the ledger: its rows are not called invalid one by one."""
    path = write_manifest(tmp_path / "archive.csv", [[one] for one in tencent_ids(3)])
    assert (await cli("load", path, *PICTURES)).code == 0
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    refused = await cli("export", copy)
    assert (refused.code, refused.stdout) == (2, "")
    assert "copy.csv: every row lacks vendor. Give --vendor" in refused.stderr
    assert (await cli("export", copy, *PICTURES)).code == 0


async def test_option_forgotten_on_the_second_day_is_remembered(cli: Cli, tmp_path: Path) -> None:
    """A new night's file of the same name is read with the options of the night before."""
    ids = tencent_ids(4)
    path = write_manifest(tmp_path / "nightly.csv", [[one] for one in ids[:2]])
    assert (await cli("load", path, *PICTURES)).code == 0
    write_manifest(path, [[one] for one in ids[2:]])
    done = await cli("load", path)
    assert done.code == 0, done.stderr
    assert (await cli.status())["submissions"]["pending"] == 4
