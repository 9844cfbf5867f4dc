"""Changes of a manifest since it was last read are noticed and reported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from support.cli import PICTURES, Cli, Json, serving, tencent_ids, until, write_manifest
from support.ledger_place import copy_ledger, is_made, is_there
from support.ledger_sql import query, writing

from batcher.sandbox import SandboxSettings

LEDGERS = Path(__file__).parents[1] / "ledgers"
TITLED = ("file_id", "title")


def titled(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """A manifest with a column of its own."""
    return write_manifest(path, rows, TITLED)


async def loads(cli: Cli) -> list[Json]:
    """The loads of ``status --json``."""
    found: list[Json] = (await cli.status())["loads"]
    return found


def numbers(load: Json) -> tuple[int | None, int | None, int | None]:
    """Rows new, gone and changed."""
    return load["rows_new"], load["rows_gone"], load["rows_changed"]


async def test_changes_of_a_manifest_are_reported_once(cli: Cli, tmp_path: Path) -> None:
    """New, gone and changed rows are counted against the last reading; the same file again has no changes."""
    rows = [(one, f"t{n}") for n, one in enumerate(tencent_ids(30))]
    nightly = titled(tmp_path / "nightly.csv", rows[:20])
    for _ in range(2):
        done = await cli("load", nightly, *PICTURES)
        assert done.code == 0
        assert "has changed" not in done.stderr
    titled(nightly, [*rows[3:19], (rows[19][0], "corrected"), *rows[20:25]])
    done = await cli("load", nightly, *PICTURES)
    assert "has changed since" in done.stderr
    assert "5 rows new, 3 gone, 1 changed" in done.stderr
    assert "stay in the ledger, and open ones are still sent" in done.stderr
    again = await cli("load", nightly, *PICTURES)
    assert "has changed" not in again.stderr
    records = await loads(cli)
    assert [numbers(load) for load in records] == [(None, None, None), (0, 0, 0), (5, 3, 1), (0, 0, 0)]
    assert [load["compared_with"] for load in records] == [None, *(load["ended_at"] for load in records[:-1])]
    assert "5 rows new, 3 gone, 1 changed" in " ".join((await cli("status")).stdout.split())


async def test_unchanged_file_is_not_read_again(cli: Cli, tmp_path: Path) -> None:
    """Its load counts the same all the same; another byte or another option makes it be read."""
    rows = [(one, f"t{n}") for n, one in enumerate(tencent_ids(30))]
    nightly = titled(tmp_path / "nightly.csv", [*rows, rows[0], ("13977x", "letters")])
    assert (await cli("load", nightly, *PICTURES)).code == 1
    with writing(cli.folder / "batcher.db") as connection:
        connection.execute("DELETE FROM submissions WHERE file_id = ?", (rows[5][0],))
        connection.execute("UPDATE tallies SET n = n - 1")
        connection.commit()
    for _ in range(2):
        assert (await cli("load", nightly, *PICTURES)).code == 0
    records = await loads(cli)
    figures = [(load["rows"], load["new"], load["duplicates"], load["invalid"]) for load in records]
    assert figures == [(32, 30, 1, 1), (32, 0, 31, 1), (32, 0, 31, 1)]
    before = nightly.stat()
    nightly.write_bytes(nightly.read_bytes().replace(b"t7", b"T7"))
    os.utime(nightly, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = await cli("load", nightly, *PICTURES)
    assert "gone, 1 changed" in done.stderr
    assert (await loads(cli))[-1]["new"] == 1
    assert (await cli("load", nightly, *PICTURES, "--offset", "9", "--allow-resubmit")).code == 0
    assert (await loads(cli))[-1]["new"] == 30
    assert (await cli("ledger", "verify")).code == 0


async def test_row_under_other_parameters_is_a_changed_one(cli: Cli, tmp_path: Path) -> None:
    """The same recording under other parameters is changed, not one gone and one new."""
    ids = tencent_ids(40)
    header = ("file_id", "definition")
    archive = write_manifest(tmp_path / "a.csv", [(one, "10") for one in ids], header)
    other = write_manifest(tmp_path / "b.csv", [(one, "10") for one in ids[:5]], header)
    rest = ("--vendor", "Tencent", "--offset", "1")
    assert (await cli("load", archive, other, *rest)).code == 0
    rows = [(one, "20" if n < 3 else "10") for n, one in enumerate(ids)]
    write_manifest(archive, [*rows[:-2], (rows[0][0], "30")], header)
    done = await cli("load", archive, other, *rest)
    assert done.code == 0, done.stderr
    assert "a.csv has changed since" in done.stderr
    assert "1 row new, 2 gone, 3 changed" in done.stderr
    assert "b.csv has changed" not in done.stderr


async def test_order_of_rows_and_rows_twice_are_no_change(cli: Cli, tmp_path: Path) -> None:
    """Rows in another order, or twice, ask for what they asked for before; a column dropped carries less."""
    rows = [(one, f"t{n}") for n, one in enumerate(tencent_ids(300))]
    nightly = titled(tmp_path / "nightly.csv", rows)
    assert (await cli("load", nightly, *PICTURES)).code == 0
    titled(nightly, [*reversed(rows), *rows[:9]])
    done = await cli("load", nightly, *PICTURES)
    assert "has changed" not in done.stderr
    write_manifest(nightly, ([one] for one, _ in rows))
    done = await cli("load", nightly, *PICTURES)
    assert "0 rows new, 0 gone, 300 changed" in done.stderr


async def test_order_of_columns_and_empty_ones_are_no_change(cli: Cli, tmp_path: Path) -> None:
    """A row is its values by the names of their columns, in CSV and in JSON; a value that moves changes."""
    ids = tencent_ids(20)
    rows = [(one, f"t{n}", f'"{n}"', "a", "b") for n, one in enumerate(ids)]
    nightly = write_manifest(tmp_path / "nightly.csv", rows, ("file_id", "title", "note", "tag", "tag"))
    objects = tmp_path / "nightly.jsonl"
    objects.write_text("".join(f'{{"file_id": "{one}", "b": "{n}", "a": 1}}\n' for n, one in enumerate(ids)))
    assert (await cli("load", nightly, objects, *PICTURES)).code == 0
    moved = [(tag, "", note, one, tag_2, title, "") for one, title, note, tag, tag_2 in rows]
    write_manifest(nightly, moved, ("tag", "new", "note", "file_id", "tag", "title", ""))
    objects.write_text("".join(f'{{"a": "1", "file_id": "{one}", "b": {n}}}\n' for n, one in enumerate(ids)))
    done = await cli("load", nightly, objects, *PICTURES)
    assert done.code == 0
    assert "has changed" not in done.stderr
    swapped = [(one, note, title, tag, tag_2) for one, title, note, tag, tag_2 in rows]
    write_manifest(nightly, swapped, ("file_id", "title", "note", "tag", "tag"))
    done = await cli("load", nightly, *PICTURES)
    assert "0 rows new, 0 gone, 20 changed" in done.stderr
    write_manifest(nightly, [row[:3] for row in swapped], ("file_id", "title", "note"))
    done = await cli("load", nightly, *PICTURES)
    assert "0 rows new, 0 gone, 20 changed" in done.stderr


async def test_ledger_of_the_version_before_reports_new_and_gone_rows(cli: Cli, tmp_path: Path) -> None:
    """The older version recorded the rows in another form: they are compared in full after the first load."""
    copy_ledger(LEDGERS / "0002.db", tmp_path / "batcher.db")
    path = tmp_path / "nightly.csv"
    with writing(tmp_path / "batcher.db") as connection:
        connection.execute("UPDATE loads SET path = ? WHERE source = ?", (str(path), path.name))
        connection.commit()
    ids = [row["file_id"] for row in await cli.export() if row["source"] == path.name]
    assert len(ids) == 6
    for title, said in (("one", "1 row new, 1 gone, 0 changed"), ("two", "0 rows new, 0 gone, 6 changed")):
        titled(path, [(one, title) for one in [*ids[1:], *tencent_ids(1)]])
        done = await cli("load", path, *PICTURES)
        assert said in done.stderr


async def test_streams_and_broken_off_loads_are_not_compared_with(cli: Cli, tmp_path: Path) -> None:
    """A file is compared with its last load that reached the end."""
    ids = tencent_ids(12_000)
    nightly = write_manifest(tmp_path / "nightly.csv", ([one] for one in ids[:4]))
    assert (await cli("load", nightly, *PICTURES)).code == 0
    # A quote that never closes, beyond the rows that are checked before any is kept: this load breaks off.
    with nightly.open("w") as file:
        file.write("\n".join(["file_id", *ids, '"13977', ""]))
    assert (await cli("load", nightly, *PICTURES)).code == 2
    write_manifest(nightly, ([one] for one in ids[2:6]))
    done = await cli("load", nightly, *PICTURES)
    assert "2 rows new, 2 gone, 0 changed" in done.stderr
    for some in (ids[:3], ids[3:5]):
        done = await cli("load", "-", *PICTURES, stdin="\n".join(["file_id", *some]).encode())
        assert "has changed" not in done.stderr


async def test_run_says_it_in_its_summary(cli: Cli, tmp_path: Path) -> None:
    """The summary of a run has the line too; what is gone from the file and still open is sent."""
    ids = tencent_ids(8)
    nightly = write_manifest(tmp_path / "nightly.csv", ([one] for one in ids[:6]))
    assert (await cli("load", nightly, *PICTURES)).code == 0
    write_manifest(nightly, ([one] for one in ids[2:]))
    async with serving(cli) as sandbox:
        done = await cli.run(nightly, *PICTURES, "--json")
        assert done.code == 0, done.stderr
        assert "2 rows new, 2 gone, 0 changed" in " ".join(done.stderr.split())
        assert ["nightly.csv has changed" in one for one in done.data["changed_manifests"]] == [True]
        assert sorted(ids) == sorted(entry.file_id for entry in sandbox.log if entry.file_id)


async def test_killed_load_is_completed_by_the_next(cli: Cli, tmp_path: Path) -> None:
    """Killed in the midst of it, a load leaves a whole ledger, is unfinished, and is taken up again."""
    ids = tencent_ids(150_000)
    archive = write_manifest(tmp_path / "archive.csv", ([one] for one in ids))
    process = await cli.start("load", archive, *PICTURES)
    ledger = tmp_path / "batcher.db"
    await until(lambda: is_there(ledger) and _rows(ledger) > 0)
    process.kill()
    await process.wait()
    kept = _rows(ledger)
    assert 0 < kept < len(ids)
    assert (await cli("ledger", "verify")).code == 0
    assert (await loads(cli))[0]["unfinished"]
    done = await cli("load", archive, *PICTURES)
    assert done.code == 0
    assert f"{len(ids) - kept:,} new submissions, {kept:,} known already" in done.stderr
    assert [numbers(load) for load in await loads(cli)] == [(None, None, None)] * 2
    assert ids == [one for (one,) in query(ledger, "SELECT file_id FROM submissions ORDER BY id")]
    assert (await cli("ledger", "verify")).code == 0


def _rows(ledger: Path) -> int:
    """Rows on record; none while the ledger is being made."""
    if not is_made(ledger):
        return 0
    return int(query(ledger, "SELECT coalesce(sum(rows), 0) FROM loads")[0][0])


async def test_rows_are_kept_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """Quotes, backslashes, other scripts and empty cells arrive in the ledger as the file has them."""
    rows = [
        ('/录像/a "b"/c\\d.mp4', 'say "hi"', ""),
        ("/x/'y'/%s/{0}/é\u0301.mp4", "back\\slash\\n, tab\t!", "🎬 𝄞"),
        ("/x/null", "null", "[1, 2]"),
    ]
    archive = write_manifest(tmp_path / "a.csv", rows, ("file_id", "note", "说明"))
    done = await cli("load", archive, "--vendor", "Huawei", "--interval", "5")
    assert done.code == 0, done.stderr
    exported = await cli.export()
    assert rows == [(row["file_id"], row["note"] or "", row["说明"] or "") for row in exported]
    assert [row["line"] for row in exported] == [2, 3, 4]


async def test_loading_while_sending_keeps_batches_small(cli: Cli, tmp_path: Path) -> None:
    """A long manifest does not hold up what is sent: requests leave while it is still being read."""
    ids = tencent_ids(60_000)
    archive = write_manifest(tmp_path / "archive.csv", ([one] for one in ids))
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "200", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 10, 30)
        rows = query(tmp_path / "batcher.db", "SELECT rows FROM loads")[0][0]
        process.send_signal(2)
        await cli.finish(process)
    assert 0 < rows < len(ids)
