"""The disk under a ledger: the checks before a run begins."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from batcher.errors import LedgerError
from batcher.ledger.sqlite import disk

pytestmark = pytest.mark.about_files

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("kind", "warned"),
    [("ext4", False), ("tmpfs", False), ("nfs4", True), ("cifs", True), ("fuse.sshfs", True)],
)
def test_network_file_system_is_known_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, warned: bool
) -> None:
    """The kind of a file system whose locks and syncs are unreliable is named."""
    monkeypatch.setattr(disk, "_kind", lambda _: kind)
    assert (disk.network_file_system(tmp_path / "l.db") == kind) is warned


def test_file_system_of_a_folder_is_found(tmp_path: Path) -> None:
    """The machine's own table of mounts names it; a missing table gives no file system."""
    assert disk.network_file_system(tmp_path / "l.db") is None
    assert disk.network_file_system(Path("/proc/l.db")) is None


def test_room_is_checked_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hardly any room a run does not begin; with too little for all the work there is a warning."""
    free = {"bytes": 15 << 20}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free["bytes"]))
    with pytest.raises(LedgerError, match="only 15 MiB are free"):
        disk.check_room(tmp_path / "l.db", 1)
    free["bytes"] = 100 << 20
    assert disk.check_room(tmp_path / "l.db", 1000) is None
    assert "the run will stop when the disk is full" in str(disk.check_room(tmp_path / "l.db", 1_000_000))


def test_replaced_file_is_noticed(tmp_path: Path) -> None:
    """A file of the same name is not the same file."""
    path = tmp_path / "l.db"
    path.write_bytes(b"one")
    opened = disk.LedgerDisk(path)
    opened.check()
    (tmp_path / "other").write_bytes(b"one")
    (tmp_path / "other").replace(path)
    with pytest.raises(LedgerError, match="deleted or replaced"):
        opened.check()


def test_reserved_room_is_freed(tmp_path: Path) -> None:
    """The reserve exists while it is needed, is readable by its owner only, and is gone afterwards."""
    opened = disk.LedgerDisk(tmp_path / "l.db")
    opened.set_room_aside()
    reserve = tmp_path / "l.db.reserve"
    assert reserve.stat().st_size == disk.RESERVE_BYTES
    assert reserve.stat().st_mode & 0o777 == 0o600
    opened.give_room()
    opened.give_room()
    assert not reserve.exists()
