"""The heavy modules that each command imports: start-up stays fast by importing none without need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command_table import EVERY_COMMAND

HEAVY = (
    "aiohttp",
    "sqlalchemy",
    "pydantic",
    "pydantic_settings",
    "alembic",
    "jinja2",
    "pyarrow",
    "PIL",
    "av",
)

CALLS: dict[tuple[str, ...], set[str]] = {
    ("status",): {"pydantic"},
    ("status", "--json"): {"pydantic"},
    ("show", "1397757897438985123"): {"pydantic"},
    ("codes",): {"pydantic"},
    ("codes", "1000"): {"pydantic"},
}
"""The heavy modules that a command may import to do its work; pydantic validates settings and arguments."""

REPORT_MODULES = f"""
import sys
sys.argv = ["batcher", *sys.argv[1:]]
from batcher.cli import main
try:
    main()
finally:
    sys.stderr.write("\\n" + " ".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def heavy_modules(folder: Path, *words: str) -> set[str]:
    """The heavy modules that one command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT_MODULES, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    return set(done.stderr.rsplit("\n", 1)[1].split())


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_help_imports_no_heavy_module(tmp_path: Path, name: str) -> None:
    """The help of a command draws its options and imports nothing that only its work needs."""
    assert heavy_modules(tmp_path, *name.split(), "--help") == set()


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_reading_command_imports_no_heavy_module(loaded: Path, words: tuple[str, ...]) -> None:
    """A command that only reads imports only what the table allows."""
    assert heavy_modules(loaded, *words) <= CALLS[words]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger of one submission."""
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "m.csv").write_text("file_id,vendor,interval\na/b.mp4,Huawei,5\n", "utf-8")
    words = (sys.executable, "-m", "batcher", "load", "m.csv", "-l", "batcher.db")
    subprocess.run(words, cwd=folder, capture_output=True, check=True)
    return folder
