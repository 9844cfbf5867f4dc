"""Several fetches of one ledger in PostgreSQL: no two fetch one picture, and one writes the index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.ledger_place import empty_ledger
from support.pictured import finished, keep_tasks, serving_pictures

from batcher.config.ledger_names import ledger_named
from batcher.ledger.connection import Access
from batcher.ledger.copy import copy
from batcher.ledger.database import database_of
from batcher.ledger.holding import LockClient, Purpose
from batcher.ledger.pictures import PageEnd, PictureLedger
from batcher.ledger.postgres.lease import take_duty
from batcher.ledger.taken_pictures import TAKEN_TOGETHER
from batcher.model.ledger_name import PostgresName
from batcher.model.records import Fetched
from batcher.model.task import PictureState

N_PICTURES = 3 * TAKEN_TOGETHER + 5

pytestmark = pytest.mark.about_files


@pytest.fixture
async def pictured(
    cli: Cli, tmp_path: Path, schema_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresName]:
    """A ledger with finished tasks of five pictures each, none of them fetched, and without attempts."""
    path = tmp_path / "pictured.db"
    path.write_bytes((await empty_ledger()).read_bytes())
    name = ledger_named(schema_url)
    assert isinstance(name, PostgresName)
    monkeypatch.setattr("batcher.ledger.copy.findings_of", lambda *_: iter(()))
    async with serving_pictures() as server:
        cli.env["BATCHER_ENDPOINT"] = f"{server.url}/"
        urls = [server.add(f"/{n}") for n in range(N_PICTURES)]
        keep_tasks(path, [finished(str(n + 1), *urls[n : n + 5]) for n in range(0, N_PICTURES, 5)])
        copy(path, name, lambda _: None)
        yield name


async def test_fetches_at_once_get_different_pictures(pictured: PostgresName) -> None:
    """Page by page in turn: nothing twice, and nothing left out."""
    async with await PictureLedger.open(pictured) as one, await PictureLedger.open(pictured) as other:
        every = await one.count_unfetched()
        got: list[PageEnd] = []
        turns = [one.unfetched(), other.unfetched()]
        while turns:
            turn = turns.pop(0)
            if (page := await anext(turn, None)) is not None:
                got += [picture.place for picture in page]
                turns.append(turn)
        assert len(got) == len(set(got)) == every > 3 * TAKEN_TOGETHER


async def test_what_a_fetch_has_not_fetched_is_free_at_its_end(pictured: PostgresName) -> None:
    """What it has recorded is not offered again; what a killed one has taken is free after its time."""
    async with await PictureLedger.open(pictured) as one, await PictureLedger.open(pictured) as other:
        first = await anext(one.unfetched())
        await one.record(Fetched(first[0], PictureState.MISSING, 1, "HTTP 404"))
        await one.release()
        again = await anext(other.unfetched())
        assert [picture.place for picture in again][:-1] == [picture.place for picture in first][1:]
        with database_of(pictured).connect(Access.WRITE) as connection:
            assert connection.run("UPDATE pictures SET taken_until_ms = 1 WHERE taken_until_ms > 1") == len(
                again
            )
        assert await anext(one.unfetched()) == again


async def test_fetch_beside_another_one_fetches_and_leaves_the_index_to_it(
    cli: Cli, pictured: PostgresName, schema_url: str
) -> None:
    """The second is not refused; once alone, a fetch writes the index of all."""
    index = cli.folder / "pictures" / "pictures.csv"
    client = LockClient("batcher fetch", purpose=Purpose.FETCHING)
    with await take_duty(pictured, client):
        beside = await cli("fetch", "-o", "pictures", "-l", schema_url, "--limit", "3")
        assert beside.code == 4, beside.stderr
        assert not index.exists()
    alone = await cli("fetch", "-o", "pictures", "-l", schema_url)
    assert alone.code == 0, alone.stderr
    assert len(index.read_text().splitlines()) == 1 + N_PICTURES
    with database_of(pictured).open_existing() as connection:
        assert connection.value("SELECT count(*) FROM pictures WHERE taken_until_ms IS NOT NULL") == 0
