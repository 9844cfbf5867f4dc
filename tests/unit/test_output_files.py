"""Files that are written: what is refused, and that what fails leaves nothing behind."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batcher.errors import SettingsError
from batcher.output_files import Protected, check_target, protect, written_whole


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Path]:
    """A database that is protected as the ledger, and a manifest that is protected as an input."""
    path, manifest = tmp_path / "l.db", tmp_path / "archive.csv"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    manifest.write_text("file_id\n", "utf-8")
    protect(Protected((path,), (manifest, tmp_path / "absent.toml")))
    yield path
    protect(Protected())


REFUSED = {
    "l.db": "the ledger itself",
    "hard.db": "the ledger itself",
    "soft.db": "the ledger itself",
    "by-folder/l.db": "the ledger itself",
    "l.db-wal": "belongs to the ledger",
    "soft.db.reserve": "belongs to the",
    "by-folder/l.db.lock": "belongs to the ledger",
    "archive.csv": "this command reads",
    "hard.csv": "this command reads",
    "by-folder/absent.toml": "this command reads",
    "other.db": "an SQLite database",
    "other.db-journal": "belongs to the database",
}


@pytest.mark.parametrize("name", REFUSED)
def test_target_that_is_protected_is_refused(ledger: Path, name: str) -> None:
    """By any of its names, also before the file exists; the message says what it is."""
    folder = ledger.parent
    os.link(ledger, folder / "hard.db")
    os.link(folder / "archive.csv", folder / "hard.csv")
    (folder / "soft.db").symlink_to(ledger)
    (folder / "by-folder").symlink_to(folder)
    (folder / "other.db").write_bytes(ledger.read_bytes())
    before = ledger.read_bytes()
    with pytest.raises(SettingsError, match=REFUSED[name]):
        check_target(folder / name, "--output")
    with pytest.raises(SettingsError), written_whole(folder / name, "--output") as file:
        file.write(b"x")
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("name", ["new.csv", "l.db.csv", "l.csv", "archive.csv.lock", "missing/new.csv"])
def test_target_with_a_similar_name_is_accepted(ledger: Path, name: str) -> None:
    """Only files that belong to the ledger are refused."""
    check_target(ledger.parent / name, "--output")


def test_copy_may_replace_older_database_but_not_the_ledger(ledger: Path) -> None:
    """A copy of a ledger may replace an earlier copy."""
    older = ledger.parent / "monday.db"
    older.write_bytes(ledger.read_bytes())
    check_target(older, "FILE", may_be_database=True)
    with pytest.raises(SettingsError, match="the ledger itself"):
        check_target(ledger, "FILE", may_be_database=True)


def test_writing_that_fails_leaves_older_file_and_nothing_else(tmp_path: Path) -> None:
    """The older file is unchanged, and the temporary file is removed."""
    place = tmp_path / "out.csv"
    place.write_text("older", "utf-8")
    with pytest.raises(TypeError), written_whole(place, "--output") as file:
        file.writelines([b"half", "text"])  # type: ignore[list-item] # no bytes
    assert place.read_text("utf-8") == "older"
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


def test_temporary_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The target of a link with that name is not written."""
    elsewhere, beside = tmp_path / "elsewhere", tmp_path / ".out.part"
    elsewhere.write_text("kept", "utf-8")
    beside.symlink_to(elsewhere)
    with written_whole(tmp_path / "out", "--output", beside=beside) as file:
        file.write(b"new")
    assert (elsewhere.read_text("utf-8"), (tmp_path / "out").read_bytes()) == ("kept", b"new")


@pytest.mark.parametrize(
    ("mask", "mode", "expected"), [(0o022, None, 0o644), (0o077, None, 0o600), (0o077, 0o644, 0o644)]
)
def test_permissions_follow_umask_unless_given(
    tmp_path: Path, mask: int, mode: int | None, expected: int
) -> None:
    """The default is that of any new file."""
    before = os.umask(mask)
    try:
        with written_whole(tmp_path / "out", "--output", mode=mode):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == expected
