"""The loader: manifests into a real ledger, batch by batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.cli import tencent_ids
from support.library_run import HOW
from support.manifest_files import prepare_all

import batcher
from batcher.errors import ManifestError
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.manifest.reader import Manifest
from batcher.model.events import Event, PassedOver
from batcher.submit.loader import Loader, load_alone
from batcher.submit.prepared import Prepared


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[RunLedger]:
    """An empty ledger."""
    async with await open_for_writing(tmp_path / "batcher.db") as opened:
        yield opened


def prepared(*paths: Path) -> list[Prepared]:
    """These manifests, checked."""
    return prepare_all([str(path) for path in paths], HOW)


async def total(ledger: RunLedger) -> int:
    """How many submissions there are."""
    return sum(tally.n for tally in await ledger.tallies())


@pytest.mark.parametrize(("rows", "batches"), [(0, 0), (1, 1), (10, 1), (11, 2), (35, 4)])
async def test_rows_are_added_batch_by_batch(
    ledger: RunLedger, manifest: Callable[..., Path], rows: int, batches: int
) -> None:
    """The queue is notified after each batch."""
    notified: list[int] = []
    loader = Loader(ledger, batch_rows=10, added=lambda: notified.append(1))
    await loader.load(prepared(manifest(tencent_ids(rows))))
    assert (await total(ledger), len(notified)) == (rows, batches)
    assert [(load.rows, load.new, load.unfinished) for load in await ledger.loads()] == [(rows, rows, False)]


async def test_batches_on_their_way_together_are_all_added(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Several may wait for the disk at the same time; none is lost at the end."""
    loader = Loader(ledger, batch_rows=10, batches_at_once=4, added=lambda: None)
    await loader.load(prepared(manifest(tencent_ids(95))))
    assert await total(ledger) == 95


async def test_invalid_rows_are_recorded_and_stop_nothing(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """They are counted by the load, with line and reason."""
    ids = tencent_ids(3)
    await load_alone(ledger, prepared(manifest([ids[0], "no-number", *ids[1:]])))
    [load] = await ledger.loads()
    assert (load.rows, load.new, load.invalid) == (4, 3, 1)
    assert [row.line for row in await ledger.invalid_rows()] == [3]


async def test_manifest_that_is_loaded_again_unchanged_is_not_read(
    ledger: RunLedger, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is known; the second load adds nothing and has reached the end all the same."""
    path = manifest(tencent_ids(20))
    await load_alone(ledger, prepared(path))
    monkeypatch.setattr(Prepared, "rows", lambda _: pytest.fail("it was read again"))
    await load_alone(ledger, prepared(path))
    assert [(load.new, load.unfinished) for load in await ledger.loads()] == [(20, False), (0, False)]


async def test_manifest_with_a_late_fault_keeps_the_rows_before_it(
    ledger: RunLedger, manifest: Callable[..., Path]
) -> None:
    """Its load is unfinished and says why; manifests after it are unfinished, and on record."""
    broken, after = (
        manifest(tencent_ids(20) * 505, "broken.csv"),
        manifest(tencent_ids(5, seed=2), "after.csv"),
    )
    with broken.open("a") as file:
        file.write('"1397')
    with pytest.raises(ManifestError, match="line 10102"):
        await load_alone(ledger, prepared(broken, after))
    assert await total(ledger) == 20
    first, second = await ledger.loads()
    assert (first.unfinished, second.unfinished) == (True, True)
    assert "line 10102" in (first.error or "")
    assert (second.rows, second.error) == (0, None)


async def test_callbacks_without_a_new_recording_are_an_event(ledger: RunLedger) -> None:
    """They are counted by the name of their kind, and are no rows."""
    events: list[Event] = []
    callbacks = Path(batcher.__file__).parents[1] / "sample_manifests" / "callbacks.jsonl"
    await load_alone(ledger, prepared(callbacks), events.append)
    [event] = events
    assert isinstance(event, PassedOver)
    assert "snapshot callback" in event.met
    [load] = await ledger.loads()
    assert load.rows == load.new + load.duplicates + load.invalid


async def test_rows_of_a_stream_that_is_cut_off_are_kept(
    ledger: RunLedger, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that arrived in time are loaded, and the load stays unfinished; a file stays where it is."""
    stream = prepared(manifest(tencent_ids(25)))
    loader = Loader(ledger, batch_rows=10, added=lambda: None)
    await loader.load_cut_off(stream)
    assert await total(ledger) == 0
    monkeypatch.setattr(Manifest, "again", False)
    await loader.load_cut_off(stream)
    stream[0].manifest.close()
    assert await total(ledger) == 25
    assert [load.unfinished for load in await ledger.loads()] == [True]
