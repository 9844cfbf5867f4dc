"""Submissions that may have been paid twice: every report has the same number and reason."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import query, writing
from support.referee import referee

from batcher.sandbox import Fault, RequestSeen, SandboxSettings

TWICE, THRICE, REFUSED, UNREADABLE, ONCE = IDS = tencent_ids(5)
"""Accepted twice, three times, refused after a lost answer, accepted under no name, and once."""

LOST = {TWICE: 1, THRICE: 2, REFUSED: 1}
"""How many answers of each are lost."""


def faults() -> SandboxSettings:
    """A service that accepts and closes the connection, as often as above."""

    def choose(request: RequestSeen) -> Fault | None:
        if request.nth_for_file <= LOST.get(request.file_id, 0):
            return Fault.parse("drop-after")
        after = {REFUSED: "code:41003", UNREADABLE: "no-task-id"}.get(request.file_id)
        return Fault.parse(after) if after else None

    return SandboxSettings(rate_per_s=None, choose=choose)


async def test_possibly_twice_is_the_same_everywhere(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Summary, status, export in every format and audit tell the same; the server has the tasks."""
    archive = manifest(IDS)
    async with serving(cli, faults()) as sandbox:
        ran = await cli.run(archive, *PICTURES, "--json")
        assert ran.code == 1, ran.stderr
        await referee(cli, sandbox)
        tasks = {one: sum(entry.task_id is not None for entry in sandbox.requests_for(one)) for one in IDS}
    assert (tasks[TWICE], tasks[THRICE], tasks[ONCE]) == (2, 3, 1)
    status, audit = await cli.status(), (await cli("audit", "--json")).data
    assert ran.data["possibly_twice"] == status["possibly_twice"] == 2
    assert audit["submissions"]["possibly_twice"] == audit["cases"]["possibly_twice"]["total"] == 2
    expected = {TWICE: 1, THRICE: 2, REFUSED: 0, UNREADABLE: 0, ONCE: 0}
    for args in ((), (archive, *PICTURES)):
        assert {row["file_id"]: row["possibly_twice"] for row in await cli.export(*args)} == expected
    for name in ("out.csv", "out.parquet", "out.xlsx"):
        assert (await cli("export", "-o", name)).code == 0
    with (cli.folder / "out.csv").open(newline="") as file:
        assert {row["file_id"]: int(row["possibly_twice"]) for row in csv.DictReader(file)} == expected
    table = pq.read_table(cli.folder / "out.parquet").to_pydict()
    assert dict(zip(table["file_id"], table["possibly_twice"], strict=True)) == expected
    head, *rows = openpyxl.load_workbook(cli.folder / "out.xlsx").worksheets[0].iter_rows(values_only=True)
    assert {row[0]: row[head.index("possibly_twice")] for row in rows} == expected
    assert "possibly twice" in ran.stderr
    assert "possibly twice" in (await cli("status")).stdout
    assert "possibly twice: 2 earlier attempts" in (await cli("show", THRICE)).stdout


async def test_possibly_twice_survives_pruning(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Deleted attempts do not change the number."""
    archive = manifest(IDS)
    async with serving(cli, faults()):
        assert (await cli.run(archive, *PICTURES)).code == 1
    before = [(row["file_id"], row["possibly_twice"]) for row in await cli.export()]
    moved = await cli.status()
    with writing(cli.folder / "batcher.db") as connection:
        connection.execute("UPDATE attempts SET begun_at_ms = begun_at_ms - 34560000000")
    assert (await cli("ledger", "prune", "--older-than", "300d")).code == 0
    assert before == [(row["file_id"], row["possibly_twice"]) for row in await cli.export()]
    assert (await cli.status())["possibly_twice"] == moved["possibly_twice"]


@pytest.mark.parametrize("fault", ["no-task-id", "drop-after"])
async def test_reason_of_a_doubt_is_ours(cli: Cli, manifest: Callable[..., Path], fault: str) -> None:
    """Nothing says "success" of a submission in doubt, nor that its run ended when an answer came."""
    archive = manifest(IDS[:1])
    async with serving(cli, SandboxSettings(rate_per_s=None, choose=lambda _: Fault.parse(fault))):
        ran = await cli.run(archive, *PICTURES, "--in-doubt", "hold")
    assert ran.code == 1, ran.stderr
    status, audit, shown = (await cli("status")), (await cli("audit")), (await cli("show", IDS[0]))
    exported = await cli("export")
    wanted = "no task id that can be read" if fault == "no-task-id" else "closed"
    assert [state for (state,) in query(cli.folder / "batcher.db", "SELECT state FROM submissions")] == [
        "in_doubt"
    ]
    for text in (ran.stderr, status.stdout, audit.stdout, shown.stdout, exported.stdout):
        assert wanted in text
        assert "success" not in text
        assert "run ended" not in text
