"""Names of folders and files: from ids only, valid on every file system, all different."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import FolderError
from batcher.fetch.picture_paths import LONGEST, folder_of, folders_in, free_name, is_kept, keep, name_of
from batcher.model.submission import FileId

ids = st.text(min_size=1) | st.from_regex(r"[/A-Za-z0-9._~+-]{1,200}", fullmatch=True)


@pytest.mark.parametrize(
    ("file_id", "expected"),
    [
        ("1397757897438985123", "1397757897438985123"),
        ("/record/a/2024-11-13.mp4", "%2Frecord%2Fa%2F2024-11-13.mp4"),
        ("record/A.mp4", "record%2F%41.mp4"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        (".hidden", "%2Ehidden"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("con", "%63on"),
        ("nul.mp4", "%6Eul.mp4"),
        ("com1", "%63om1"),
        ("console", "console"),
        ("a+2", "a%2B2"),
        ("a~b", "a%7Eb"),
        ("a%2Fb", "a%252%46b"),
        ("a\\b:c*?", "a%5Cb%3Ac%2A%3F"),
        ("截图", "%E6%88%AA%E5%9B%BE"),
    ],
)
def test_folder_is_named_by_id(file_id: str, expected: str) -> None:
    """Small letters, digits and some marks stay; everything else is escaped as in a URL."""
    assert folder_of(FileId(file_id)) == expected


@given(ids, ids)
def test_different_ids_have_different_folders(one: str, other: str) -> None:
    """This also holds on file systems that ignore letter case."""
    if one != other:
        assert folder_of(FileId(one)).lower() != folder_of(FileId(other)).lower()
        assert folder_of(FileId(one)).casefold() != folder_of(FileId(one), 2).casefold()


@given(ids)
def test_folder_name_is_valid_everywhere(file_id: str) -> None:
    """It is short, has portable characters, is not a device and does not leave the folder."""
    for name in (folder_of(FileId(file_id)), folder_of(FileId(file_id), 12)):
        assert len(name) <= LONGEST + 12
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>| ')
        assert name.isprintable()
        assert name[0] != "." != name[-1]
        assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
        if "~" not in name and "+" not in name:
            assert unquote(name, errors="surrogatepass") == file_id


def test_long_ids_with_same_beginning_differ() -> None:
    """The end of a long name is a digest of the whole id."""
    names = {folder_of(FileId("/" + "long/" * 100 + str(n))) for n in range(100)}
    assert len(names) == 100
    assert {len(name) <= LONGEST for name in names} == {True}


def test_file_is_named_by_number_and_time() -> None:
    """Names sort in the order of the pictures."""
    assert name_of(2, 2500, "jpg") == "0002-2500ms.jpg"
    assert name_of(12, None, "png") == "0012.png"
    with pytest.raises(ValueError, match="format"):
        name_of(1, "../x", "jpg")  # type: ignore[arg-type] # what a database without types may hold


def test_picture_is_written_whole(tmp_path: Path) -> None:
    """The temporary file of a killed fetch is removed, and only the picture remains."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".0001.jpg.part").write_bytes(b"half of")
    keep(tmp_path, "a/0001.jpg", b"whole")
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["0001.jpg"]
    assert is_kept(tmp_path, "a/0001.jpg", 5)
    assert not is_kept(tmp_path, "a/0001.jpg", 6)
    assert not is_kept(tmp_path, "a/0002.jpg", 5)
    assert not is_kept(tmp_path, None, None)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """The error names the folder, and no temporary file remains."""
    (tmp_path / "a" / "0001.jpg").mkdir(parents=True)
    with pytest.raises(
        FolderError,
        match=r"pictures cannot be written here .*: there is a folder in its place.*the same command again",
    ):
        keep(tmp_path, "a/0001.jpg", b"whole")
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["0001.jpg"]


@pytest.mark.parametrize("file_id", ["pictures.csv", "pictures.csv.part", "pictures.csv/x"])
def test_recording_never_has_name_of_index(file_id: str) -> None:
    """The folder of such a recording has an escaped name."""
    name = folder_of(FileId(file_id))
    assert name.startswith("%70ictures.csv")
    assert unquote(name) == file_id
    assert not folder_of(FileId("PICTURES.CSV")).casefold().startswith("pictures")


def test_taken_name_is_left_alone(tmp_path: Path) -> None:
    """If a file, a link or the ledger has the name, the recording gets another folder."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "folder").mkdir()
    names = [free_name(tmp_path, one) for one in ("file", "link", "folder", "nothing")]
    assert names == ["file+1", "link+1", "folder", "nothing"]
    own = [free_name(tmp_path, one, "Batcher.DB") for one in ("batcher.db", "batcher.db-journal", "batcher")]
    assert own == ["batcher.db+1", "batcher.db-journal+1", "batcher"]


def test_link_below_folder_is_not_followed(tmp_path: Path) -> None:
    """This holds for a folder, a picture and a temporary file; the folder itself may be a link."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (tmp_path / "real").mkdir()
    out.symlink_to(tmp_path / "real")
    (outside / "0001.jpg").write_bytes(b"whole")
    (out / "a").symlink_to(outside)
    (out / "b").mkdir()
    (out / "b" / "0001.jpg").symlink_to(outside / "0001.jpg")
    (out / "b" / ".0001.jpg.part").symlink_to(outside / "0001.jpg")
    assert not is_kept(out, "a/0001.jpg", 5)
    assert not is_kept(out, "b/0001.jpg", 5)
    with pytest.raises(FolderError):
        keep(out, "a/0001.jpg", b"other")
    keep(out, "b/0001.jpg", b"other")
    assert (outside / "0001.jpg").read_bytes() == b"whole"
    assert [one.name for one in outside.iterdir()] == ["0001.jpg"]
    assert not (out / "b" / "0001.jpg").is_symlink()
    assert folders_in(out) == {"b"}
