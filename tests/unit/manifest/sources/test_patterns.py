"""Files of a command: patterns, their order, and each file once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from batcher.errors import ManifestError
from batcher.manifest.sources.patterns import expand


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, which is the working directory."""
    for name in (
        "b.csv",
        "a.csv",
        "c.txt",
        "new/2.csv",
        "new/1.csv",
        "new/deep/0.csv",
        "[x].csv",
        "what?.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("file_id\n")
    (tmp_path / "link.csv").symlink_to("a.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["b.csv", "a.csv"], ["b.csv", "a.csv"]),
        (["?.csv"], ["a.csv", "b.csv"]),
        (["new/*"], ["new/1.csv", "new/2.csv"]),
        (["new/**"], ["new/1.csv", "new/2.csv", "new/deep/0.csv"]),
        (
            ["**/*.csv"],
            ["[x].csv", "a.csv", "b.csv", "new/1.csv", "new/2.csv", "new/deep/0.csv", "what?.csv"],
        ),
        (["[ab].csv", "c.txt"], ["a.csv", "b.csv", "c.txt"]),
        (["[x].csv"], ["[x].csv"]),
        (["what?.csv"], ["what?.csv"]),
        (["new/2.csv", "new/*", "new/1.csv"], ["new/2.csv", "new/1.csv"]),
        (["./a.csv", "a.csv", "link.csv"], ["./a.csv"]),
        (["-", "none.csv"], ["-", "none.csv"]),
        (
            ["https://example.com/a?b=*", "s3://bucket/a.csv"],
            ["https://example.com/a?b=*", "s3://bucket/a.csv"],
        ),
        (
            ["https://example.com/a?id=1", "https://example.com/a?id=2"],
            ["https://example.com/a?id=1", "https://example.com/a?id=2"],
        ),
    ],
)
@pytest.mark.usefixtures("files")
def test_patterns_become_files(sources: Sequence[str], expected: list[str]) -> None:
    """Sorted within a pattern, else as named; the same twice is once; a name that exists is no pattern."""
    assert expand(sources) == expected


def test_absolute_patterns_and_file_urls(files: Path) -> None:
    """Both name local files."""
    assert expand([f"{files}/?.csv"]) == [f"{files}/a.csv", f"{files}/b.csv"]
    assert expand([f"file://{files}/c.txt"]) == [f"{files}/c.txt"]


def test_lock_files_of_open_workbooks_are_passed_over(files: Path) -> None:
    """By patterns; one that is named is not, and a pattern that matches nothing else says so."""
    (files / "new" / "~$a.xlsx").write_bytes(b"")
    assert expand(["new/*"]) == ["new/1.csv", "new/2.csv"]
    assert expand(["new/~$a.xlsx"]) == ["new/~$a.xlsx"]
    with pytest.raises(ManifestError, match="no file matches this pattern, only lock files of open"):
        expand(["new/*.xlsx"])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["a.csv", "2024-*.csv"], r"/2024-\*\.csv: no file matches this pattern$"),
        (["ne?"], r"/ne\?: no file matches this pattern, only folders. Add /\* to match their files$"),
        (["-", "-"], "standard input can be read only once"),
    ],
)
@pytest.mark.usefixtures("files")
def test_pattern_that_matches_nothing_is_an_error(sources: Sequence[str], message: str) -> None:
    """It is refused, also next to other names."""
    with pytest.raises(ManifestError, match=message):
        expand(sources)
