"""Why a file cannot be used, and text files of users."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from batcher.errors import SettingsError, SystemFault
from batcher.files import (
    exists,
    is_file,
    is_folder,
    is_link,
    is_special,
    native,
    others_may_read,
    reason_of,
    shortened,
    text_of,
    unwritable,
)

IMPOSSIBLE = ("x" * 300, "a\0b", "\ud800", "none/such")


@pytest.mark.parametrize("path", IMPOSSIBLE, ids=ascii)
@pytest.mark.parametrize("question", [exists, is_file, is_folder, is_link, is_special])
def test_question_about_an_impossible_path_is_answered_no(question: object, path: str) -> None:
    """A question never raises: opening the file says what is wrong with it."""
    assert callable(question)
    assert question(path) is False


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EDQUOT, "the disk is full for this user: the quota"),
        (errno.EFBIG, "the disk is full for this process"),
        (errno.EIO, "input/output error"),
        (errno.EMFILE, "too many open files: this process may have "),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.EISDIR, "there is a folder in its place"),
        (errno.EACCES, "this user may not make files in /"),
        (errno.ENOENT, "there is no folder /none"),
    ],
)
def test_reason_names_what_happened(number: int, words: str) -> None:
    """Each error of the system has its words, and a full disk is one by each of its names."""
    exc = OSError(number, os.strerror(number))
    place = "/file" if number == errno.EACCES else "/none/file"
    assert reason_of(exc, place, to="write").startswith(words)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, SystemFault) for number in (errno.ENOSPC, errno.EFBIG, errno.EIO)),
        *((number, SettingsError) for number in (errno.EACCES, errno.ENAMETOOLONG, errno.EROFS)),
    ],
)
def test_unwritable_output_is_the_machine_or_the_path(number: int, kind: type[Exception]) -> None:
    """Another path helps in one case (exit code 2), and not in the other (6)."""
    exc = unwritable(OSError(number, "words"), "--output /a/b", "/a/b")
    assert type(exc) is kind
    assert str(exc).startswith("--output /a/b: cannot be written: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_loses_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """Editors of Windows write one."""
    (tmp_path / "a").write_text("课\r\n", encoding, newline="")
    assert text_of(tmp_path / "a") == "课\r\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("rate = 3".encode("utf-16"), r"the file is in UTF-16.*iconv -f utf-16-le"),
        ("\ufeffrate".encode("utf-16-be"), r"iconv -f utf-16-be"),
        (b"a\nb\xff\n", r"^line 2 is not UTF-8"),
    ],
)
def test_text_of_another_encoding_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    """The message says what the file is and how to convert it."""
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(SettingsError, match=words):
        text_of(tmp_path / "a")


def test_names_keep_their_bytes() -> None:
    """A name is cut by bytes, and a path of a text file has the bytes of its UTF-8."""
    assert os.fsencode(shortened("é" * 127, 201)) == ("é" * 127).encode()[:201]
    assert os.fsencode(native("课.db")) == "课.db".encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o600])
def test_file_open_to_others_is_known(tmp_path: Path, mode: int) -> None:
    """The group counts as others."""
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(mode)
    assert others_may_read(tmp_path / "a") == bool(mode & (stat.S_IRGRP | stat.S_IROTH))
    assert not others_may_read(tmp_path / "none")
