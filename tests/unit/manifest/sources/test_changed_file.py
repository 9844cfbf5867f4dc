"""Files that change while they are read: an error, and a load that stays unfinished."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from support.manifest_files import parquet_of, prepare_all

from batcher.errors import ManifestError
from batcher.ledger.run_ledger import open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.submit.loader import load_alone

TENCENT = ReadOptions(defaults=Defaults(vendor="Tencent", definition="10"))
IDS = [str(1397757898183024945 + 7919 * number) for number in range(40_000)]
OTHERS = [str(int(one) + 1) for one in IDS]


def as_csv(ids: list[str]) -> bytes:
    """CSV."""
    return ("file_id\n" + "".join(f"{one}\n" for one in ids)).encode()


def as_json(ids: list[str]) -> bytes:
    """One array."""
    return ("[" + ",\n".join(f'{{"file_id": "{one}"}}' for one in ids) + "]").encode()


def as_gzip(ids: list[str]) -> bytes:
    """Compressed CSV."""
    return gzip.compress(as_csv(ids), mtime=0)


def as_parquet(ids: list[str]) -> bytes:
    """Parquet, in row groups."""
    return parquet_of({"file_id": pa.array(ids)}, row_group_size=10_000, use_dictionary=False)


WRITERS: dict[str, Callable[[list[str]], bytes]] = {
    "a.csv": as_csv,
    "a.txt": lambda ids: as_csv(ids).partition(b"\n")[2],
    "a.json": as_json,
    "a.csv.gz": as_gzip,
    "a.parquet": as_parquet,
}


def rewrite(path: Path, content: bytes) -> None:
    """Write over a file in place, with another time of change."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    written = path.stat()
    os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("change", ["shorter", "other"])
@pytest.mark.parametrize("name", WRITERS)
def test_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, name: str, change: str) -> None:
    """Whatever the format, and whether it became shorter or holds other rows."""
    path, write = tmp_path / name, WRITERS[name]
    path.write_bytes(write(IDS))
    with TENCENT.open(str(path)) as manifest:
        rows = iter(manifest)
        next(rows)
        rewrite(path, write(IDS)[:2_000] if change == "shorter" else write(OTHERS))
        with pytest.raises(ManifestError, match="changed while it was read"):
            list(rows)


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.csv.gz"])
def test_file_that_grows_or_is_replaced_while_it_is_read_is_none(tmp_path: Path, name: str) -> None:
    """What was read is still there: rows added at the end come with the next load, as does another file."""
    path, write = tmp_path / name, WRITERS[name]
    path.write_bytes(write(IDS))
    with TENCENT.open(str(path)) as manifest:
        rows = iter(manifest)
        next(rows)
        (tmp_path / "other").write_bytes(write(OTHERS))
        (tmp_path / "other").replace(path)
        assert len(list(rows)) == len(IDS) - 1
    path.write_bytes(write(IDS))
    with TENCENT.open(str(path)) as manifest:
        rows = iter(manifest)
        next(rows)
        with path.open("ab") as file:
            file.write(write(OTHERS[:1]).removeprefix(b"file_id\n"))
        os.utime(path, ns=(1, 1))
        assert len(list(rows)) >= len(IDS) - 1


async def test_load_of_a_changed_file_stays_unfinished(tmp_path: Path) -> None:
    """The rows read before are kept, the reason is recorded, and the next load finishes it."""
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(IDS))
    async with await open_for_writing(tmp_path / "a.db") as ledger:
        prepared = prepare_all([str(path)], TENCENT)
        rewrite(path, as_csv(IDS[:100]))
        with pytest.raises(ManifestError, match="changed while it was read"):
            await load_alone(ledger, prepared)
        [load] = await ledger.loads()
        assert load.unfinished
        assert "changed while it was read" in (load.error or "")
        await load_alone(ledger, prepare_all([str(path)], TENCENT))
        assert await ledger.unfinished_sources() == []


def test_file_that_changes_between_the_checks_and_the_load_is_an_error(tmp_path: Path) -> None:
    """Of several manifests all are checked first; rows that were never checked are not loaded."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_bytes(as_csv(IDS[:10]))
    _, prepared = prepare_all(list(map(str, paths)), TENCENT)
    rewrite(paths[1], as_csv(OTHERS[:10]))
    with pytest.raises(ManifestError, match="changed after it was checked"):
        prepared.rows()
