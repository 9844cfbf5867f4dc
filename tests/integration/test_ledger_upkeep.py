"""``batcher ledger``: what is in a long ledger, whether it is whole, copies of it, and its room."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids
from support.ledger_place import copy_ledger, the_server
from support.ledger_sql import query, writing

from batcher.ledger.conditions import REVISIONS
from batcher.ledger.database import database_of
from batcher.ledger.holding import LockClient
from batcher.ledger.schema import metadata
from batcher.report.formatting import size as in_units
from batcher.sandbox import Fault, FaultKind, SandboxSettings

LEDGERS = Path(__file__).parents[1] / "ledgers"
DAY_MS = 86_400_000


@pytest.fixture
def ledger(cli: Cli) -> Path:
    """A ledger with everything in it, where the command line looks for one."""
    return copy_ledger(LEDGERS / f"{REVISIONS[-1]}.db", cli.folder / "batcher.db")


def change(ledger: Path, *statements: str) -> None:
    """Do to a ledger what batcher would not."""
    with writing(ledger) as connection:
        if the_server() is None:
            connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


def content(ledger: Path) -> list[list[tuple[object, ...]]]:
    """All rows of all tables; who holds a ledger in PostgreSQL is not content."""
    tables = [table for table in metadata.sorted_tables if table.name != "duties" or the_server() is None]
    return [query(ledger, str(table.select().order_by(*table.primary_key))) for table in tables]


def size(path: Path) -> int:
    """Of a file, in bytes."""
    return path.stat().st_size


def bytes_of(path: Path) -> bytes:
    """All that is in a file."""
    return path.read_bytes()


# -- info ------------------------------------------------------------------------------------------


@pytest.mark.about_files
async def test_info_lists_the_contents_of_the_file(cli: Cli, ledger: Path) -> None:
    """Schema, binding, rows and bytes of each table; the parts do not add up to more than the file."""
    done = await cli("ledger", "info", "--json")
    assert done.code == 0, done.stderr
    found = done.data
    assert found["schema"] == REVISIONS[-1]
    assert (found["app_id"], found["place"]) == (1234567890, "other")
    assert found["bytes"] == size(ledger)
    rows = {name: part["rows"] for name, part in found["tables"].items()}
    assert rows == dict(zip((t.name for t in metadata.sorted_tables), map(len, content(ledger)), strict=True))
    sizes = [part["bytes"] for part in found["tables"].values()]
    assert all(sizes)
    assert sum(sizes) <= found["bytes"]
    text = (await cli("ledger", "info")).stdout
    assert f"schema {REVISIONS[-1]}" in text
    assert all(table.name in text for table in metadata.sorted_tables)


@pytest.mark.about_files
async def test_old_ledger_is_read_without_an_upgrade(cli: Cli) -> None:
    """Readers of the file upgrade nothing: a backup before an upgrade is one of the old schema."""
    old = copy_ledger(LEDGERS / f"{REVISIONS[0]}.db", cli.folder / "batcher.db")
    before = bytes_of(old)
    assert (await cli("ledger", "info", "--json")).data["schema"] == REVISIONS[0]
    assert (await cli("ledger", "verify")).code == 0
    assert (await cli("ledger", "backup", "old.db")).code == 0
    assert bytes_of(old) == before
    assert query(cli.folder / "old.db", "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]


@pytest.mark.about_files
@pytest.mark.parametrize("command", ["info", "verify", "backup copy.db", "prune --older-than 9", "vacuum"])
async def test_file_that_is_not_a_ledger_is_left_alone(cli: Cli, command: str) -> None:
    """A missing ledger, another file, and one from a newer version give exit code 6 and are named."""
    words = ["ledger", *command.split()]
    path = cli.folder / "batcher.db"
    assert (await cli(*words)).code == 6
    assert not path.exists()
    path.write_text("file_id\n")
    done = await cli(*words)
    assert (done.code, "not a ledger" in done.stderr) == (6, True)
    path.unlink()
    change(path, "CREATE TABLE other (x)")
    done = await cli(*words)
    assert (done.code, "not a ledger" in done.stderr) == (6, True)
    copy_ledger(LEDGERS / f"{REVISIONS[-1]}.db", path)
    change(path, "UPDATE alembic_version SET version_num = '9999'")
    before = content(path)
    done = await cli(*words)
    assert (done.code, "upgrade batcher" in done.stderr) == (6, True)
    assert content(path) == before
    assert not (cli.folder / "copy.db").exists()


# -- verify ----------------------------------------------------------------------------------------


DAMAGES = {
    "tallies:": "UPDATE tallies SET n = n + 1 WHERE state = 'pending' AND code = -1",
    "refers to a row of parameters": "UPDATE submissions SET parameters_id = 99 WHERE id = 3",
    "attempts: refers to a row of submissions": (
        "UPDATE attempts SET submission_id = 999 WHERE submission_id = 1"
    ),
    "is submitted, and no attempt has a task id": (
        "UPDATE attempts SET task_id = NULL, decision = 'again' WHERE submission_id = 1 AND code = 0"
    ),
    "has a task id, and is not submitted": (
        "UPDATE attempts SET task_id = 'x', decision = 'submitted' "
        "WHERE submission_id = (SELECT id FROM submissions WHERE state = 'failed' LIMIT 1) AND number = 1"
    ),
    "is being sent, and its last attempt has ended": (
        "UPDATE attempts SET outcome = 'answer', decision = 'again' WHERE outcome IS NULL"
    ),
    "is not being sent, and an attempt of it has not ended": (
        "UPDATE attempts SET outcome = NULL, decision = NULL "
        "WHERE submission_id = (SELECT id FROM submissions WHERE state = 'rejected' LIMIT 1)"
    ),
    "counts other attempts than there are": "UPDATE submissions SET attempts = 7 WHERE state = 'failed'",
    "CHECK constraint failed": "UPDATE submissions SET state = 'lost' WHERE id = 20",
}


POSTGRES_PREVENTS = ("refers to a row", "CHECK constraint failed")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            said, marks=[pytest.mark.about_files] if any(one in said for one in POSTGRES_PREVENTS) else []
        )
        for said in DAMAGES
    ],
)
async def test_verify_finds(cli: Cli, ledger: Path, said: str) -> None:
    """Each kind of contradiction is a line on stdout, and the exit code is 6."""
    whole = await cli("ledger", "verify")
    assert (whole.code, whole.stdout) == (0, "")
    assert "whole" in whole.stderr
    change(ledger, DAMAGES[said])
    before = content(ledger)
    done = await cli("ledger", "verify")
    assert done.code == 6
    assert said in done.stdout
    assert "last backup" in done.stderr
    assert content(ledger) == before


@pytest.mark.about_files
async def test_verify_tells_of_a_damaged_file(cli: Cli, ledger: Path) -> None:
    """Bytes that are not what was written are found, without a traceback."""
    pages = size(ledger) // 4096
    with ledger.open("r+b") as file:
        for page in range(4, pages):
            file.seek(page * 4096 + 1000)
            file.write(b"\xa5" * 1500)
    done = await cli("ledger", "verify")
    assert done.code == 6
    assert done.stdout + done.stderr


async def test_repair_of_wrong_tallies_counts_them_anew(cli: Cli, ledger: Path) -> None:
    """Tallies that drifted are made right with exit code 0, and nothing else of the ledger changes."""
    change(ledger, "DELETE FROM tallies WHERE n = 0")
    before = content(ledger)
    change(
        ledger,
        "UPDATE tallies SET n = n + 1 WHERE state = 'pending'",
        "DELETE FROM tallies WHERE state = 'submitted'",
        "UPDATE task_tallies SET n = n + 2, told = n + 2 WHERE state = 'waiting'",
    )
    found = await cli("ledger", "verify")
    assert (found.code, "verify --repair" in found.stderr) == (6, True)
    done = await cli("ledger", "verify", "--repair")
    assert (done.code, done.stdout) == (0, ""), done.stderr
    assert content(ledger) == before
    assert (await cli("ledger", "verify", "--repair")).code == 0
    assert content(ledger) == before


async def test_repair_of_other_damage_reports_what_is_left(cli: Cli, ledger: Path) -> None:
    """Damage that does not concern a tally stays and is named, and the exit code is 6."""
    change(
        ledger,
        "UPDATE tallies SET n = n + 1 WHERE state = 'pending'",
        "UPDATE submissions SET attempts = 7 WHERE state = 'failed'",
    )
    done = await cli("ledger", "verify", "--repair")
    assert done.code == 6
    assert {"counts other attempts than there are" in line for line in done.stdout.splitlines()} == {True}


async def test_run_that_meets_code_minus_one_leaves_ledger_whole(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """With extreme codes, lost answers and good ones the tallies stay right, and a retry puts them back."""
    ids = tencent_ids(30)
    faults = [Fault(FaultKind.CODE, code) for code in (-1, -(2**63), 2**63 - 1, -2, -1)]
    by_file = {one: [faults[k % 5]] * (3 if k % 2 else 1) for k, one in enumerate(ids[:20])}
    by_file |= {one: [Fault(FaultKind.DROP_AFTER), faults[0]] for one in ids[20:25]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=by_file)):
        done = await cli("run", manifest(ids), *PICTURES, *FAST, "--max-failures", "off")
        assert done.code in (0, 1), done.stderr
        assert (await cli("ledger", "verify")).stdout == ""
        codes = (await cli.status())["codes"]
        assert {"-1", str(-(2**63)), str(2**63 - 1)} <= set(codes)
        put_back = await cli("retry", "--code", "-1")
        assert put_back.code == 0, put_back.stderr
        assert (await cli("ledger", "verify")).stdout == ""
        assert (await cli("run", *FAST, "--max-failures", "off")).code in (0, 1)
        assert (await cli("ledger", "verify")).stdout == ""


# -- backup ----------------------------------------------------------------------------------------


@pytest.mark.about_files
async def test_backup_is_a_ledger_like_any_other(cli: Cli, ledger: Path) -> None:
    """A backup has the same rows and is one file for its owner only; it replaces files only with --force."""
    done = await cli("ledger", "backup", "copy.db")
    assert done.code == 0, done.stderr
    copy = cli.folder / "copy.db"
    assert content(copy) == content(ledger)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert await cli.export() == await cli.export("-l", "copy.db")
    change(ledger, "DELETE FROM invalid_rows")
    refused = await cli("ledger", "backup", "copy.db")
    assert refused.code == 2
    assert "--force" in refused.stderr
    assert len(query(copy, "SELECT * FROM invalid_rows")) == 3
    assert (await cli("ledger", "backup", "copy.db", "--force")).code == 0
    assert query(copy, "SELECT * FROM invalid_rows") == []


@pytest.mark.about_files
async def test_backup_does_not_take_the_place_of_the_ledger(cli: Cli, ledger: Path) -> None:
    """The ledger itself, a folder, and a place that is not there are refused with 2; nothing stays behind."""
    before = sorted(path.name for path in cli.folder.iterdir())
    (cli.folder / "link.db").symlink_to(ledger)
    for target, said in (
        ("batcher.db", "the ledger itself"),
        ("link.db", "the ledger itself"),
        (".", "a folder"),
        ("nowhere/copy.db", "there is no folder"),
    ):
        done = await cli("ledger", "backup", target, "--force")
        assert done.code == 2
        assert said in done.stderr
    assert sorted(path.name for path in cli.folder.iterdir()) == sorted([*before, "link.db"])


@pytest.mark.about_files
async def test_backup_of_a_damaged_ledger_takes_no_name(cli: Cli, ledger: Path) -> None:
    """A copy that is not whole is not kept, and the one of yesterday is not replaced by it."""
    assert (await cli("ledger", "backup", "copy.db")).code == 0
    before = (cli.folder / "copy.db").read_bytes()
    change(ledger, "UPDATE submissions SET state = 'lost' WHERE id = 20")
    done = await cli("ledger", "backup", "copy.db", "--force")
    assert done.code == 6
    assert "not whole" in done.stderr
    assert (cli.folder / "copy.db").read_bytes() == before
    assert [path.name for path in cli.folder.glob(".copy*")] == []


@pytest.mark.about_files
async def test_backup_during_a_run_is_whole(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The copy shows one moment of the ledger, and the run is not disturbed."""
    archive = manifest(tencent_ids(3000))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "400", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 100, 20)
        done = await cli("ledger", "backup", "copy.db")
        assert done.code == 0, done.stderr
        assert process.returncode is None
        assert (await cli("ledger", "verify")).code == 0
        info = await cli("ledger", "info", "--json")
        assert info.data["wal_bytes"] > 0
        ended = await cli.finish(process)
        assert ended.code == 0, ended.stderr
        assert len(sandbox.accepted()) == 3000
    assert (await cli("ledger", "verify", "-l", "copy.db")).code == 0
    submitted = query(cli.folder / "copy.db", "SELECT count(*) FROM submissions WHERE state = 'submitted'")
    assert 100 <= submitted[0][0] < 3000


# -- prune and vacuum ------------------------------------------------------------------------------


async def many_attempts(cli: Cli, manifest: Callable[..., Path]) -> Path:
    """A ledger whose submissions took many attempts of every kind, all of them a year ago."""
    ids = tencent_ids(9)
    lost, busy = Fault(FaultKind.DROP_AFTER), Fault(FaultKind.CODE, 1)
    by_file = {one: [lost, busy, lost] for one in ids[:6]}
    by_file |= {one: [Fault(FaultKind.CODE, 1000)] * 3 for one in ids[6:8]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=by_file)):
        done = await cli("run", manifest(ids), *PICTURES, *FAST)
        assert done.code == 1, done.stderr
    ledger = cli.folder / "batcher.db"
    for name in ("begun_at_ms", "sent_at_ms", "answered_at_ms"):
        change(ledger, f"UPDATE attempts SET {name} = {name} - {365 * DAY_MS}")  # noqa: S608 - names of ours
    return ledger


async def exported(cli: Cli) -> list[bytes]:
    """The whole export and that of the manifest, to the byte."""
    made = []
    for words in ((), ("archive.csv", *PICTURES)):
        done = await cli("export", *words, "-o", "out.csv")
        assert done.code == 0, done.stderr
        made.append((cli.folder / "out.csv").read_bytes())
    return made


async def test_pruning_changes_no_export(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Old attempts go; exports, tallies and doubts stay as they are, and nothing is sent again."""
    ledger = await many_attempts(cli, manifest)
    before, there = await exported(cli), query(ledger, "SELECT count(*) FROM attempts")[0][0]
    doubts = query(ledger, "SELECT id FROM submissions WHERE doubted")
    assert doubts
    state = content(ledger)
    dry = await cli("ledger", "prune", "--older-than", "300d", "--dry-run")
    assert dry.code == 0
    assert content(ledger) == state
    assert "would delete" in dry.stderr
    done = await cli("ledger", "prune", "--older-than", "300")
    assert done.code == 0, done.stderr
    gone = there - query(ledger, "SELECT count(*) FROM attempts")[0][0]
    assert gone >= 8  # of each submission that took three or four, those in the middle
    assert f"deleted {gone} attempts" in done.stderr
    assert (
        dry.stderr.split("would delete ")[1].split(",")[0] == done.stderr.split("deleted ")[1].split(",")[0]
    )
    assert before == await exported(cli)
    assert doubts == query(ledger, "SELECT id FROM submissions WHERE doubted")
    assert (await cli("ledger", "verify")).code == 0
    again = await cli("ledger", "prune", "--older-than", "300")
    assert "deleted 0 attempts" in again.stderr
    async with serving(cli) as sandbox:
        assert (await cli.run("archive.csv", *PICTURES)).code == 0
        assert [entry for entry in sandbox.log if entry.file_id] == []
    assert before == await exported(cli)


async def test_pruning_leaves_the_young_and_the_open_alone(cli: Cli, ledger: Path) -> None:
    """Attempts of submissions that are still open, and younger ones, stay."""
    state = content(ledger)
    assert (await cli("ledger", "prune", "--older-than", "36500")).code == 0
    assert content(ledger) == state
    all_attempts = query(ledger, "SELECT * FROM attempts")
    change(ledger, "UPDATE attempts SET begun_at_ms = 1000 + number")
    open_ones = (
        "SELECT a.* FROM attempts a JOIN submissions s ON s.id = a.submission_id "
        "WHERE s.state IN ('pending', 'sending')"
    )
    kept = query(ledger, open_ones)
    assert (await cli("ledger", "prune", "--older-than", "1")).code == 0
    assert len(query(ledger, "SELECT * FROM attempts")) < len(all_attempts)
    assert kept == query(ledger, open_ones)


@pytest.mark.parametrize("days", ["0", "-3", "soon", "1.5", "99999999999"])
async def test_age_that_is_not_a_number_of_days_is_refused(cli: Cli, ledger: Path, days: str) -> None:
    """Exit code 2, and nothing changes."""
    state = content(ledger)
    done = await cli("ledger", "prune", f"--older-than={days}")
    assert done.code == 2
    assert "--older-than" in done.stderr
    assert content(ledger) == state


@pytest.mark.about_files
async def test_vacuum_gives_room_back(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Deleted attempts leave the file; the rows stay, and the sizes before and after are reported."""
    assert (await cli("load", manifest(tencent_ids(20_000)), *PICTURES)).code == 0
    ledger = cli.folder / "batcher.db"
    change(
        ledger,
        "DELETE FROM submissions WHERE id > 100",
        "UPDATE tallies SET n = 100",
    )
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, rows = ledger.stat().st_size, content(ledger)
    done = await cli("ledger", "vacuum")
    assert done.code == 0, done.stderr
    assert ledger.stat().st_size < before / 2
    assert content(ledger) == rows
    assert f"{in_units(before)} before" in done.stderr
    assert (await cli("ledger", "verify")).code == 0
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600


@pytest.mark.about_files
@pytest.mark.parametrize("words", [("prune", "--older-than", "9"), ("vacuum",), ("verify", "--repair")])
async def test_ledger_in_use_is_not_changed(cli: Cli, ledger: Path, words: tuple[str, ...]) -> None:
    """Commands that write do not wait for a run: exit code 5; commands that read work."""
    with await database_of(ledger).take(LockClient()):
        state = content(ledger)
        done = await cli("ledger", *words)
        assert done.code == 5
        assert content(ledger) == state
        for reader in (
            ("info",),
            ("verify",),
            ("backup", "copy.db"),
            ("prune", "--older-than", "9", "--dry-run"),
        ):
            assert (await cli("ledger", *reader)).code == 0
