"""The packages that messages ask for are those that pyproject.toml requires."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import batcher
from batcher.requirements import MEDIA, REPORT, REQUIREMENTS, pip_install

ROOT = Path(batcher.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = {
    name: given for name, given in PROJECT["optional-dependencies"].items() if name not in {"all", "dev"}
}


def test_each_requirement_is_one_of_the_project() -> None:
    """Neither a name nor a version differs."""
    required = {*PROJECT["dependencies"], *(one for given in EXTRAS.values() for one in given)}
    assert set(REQUIREMENTS.values()) - required == set()
    assert [name for name, one in REQUIREMENTS.items() if re.split(r"[^\w-]", one)[0] != name] == []


def test_each_optional_package_can_be_asked_for() -> None:
    """All but the event loop, whose absence no message mentions."""
    optional = {one for name, given in EXTRAS.items() if name != "speed" for one in given}
    assert optional - set(REQUIREMENTS.values()) == set()
    assert EXTRAS["media"] == [REQUIREMENTS[name] for name in MEDIA]
    assert EXTRAS["report"] == [REQUIREMENTS[name] for name in REPORT]


def test_command_quotes_each_package() -> None:
    """A shell would take the comparison for a redirection."""
    assert pip_install(*MEDIA) == "pip install 'av>=17' 'Pillow>=11'"


def test_distribution_has_a_name_of_its_own() -> None:
    """The command and the import keep theirs."""
    assert PROJECT["name"] == "zego-batcher"
    assert PROJECT["scripts"] == {"batcher": "batcher.cli:main"}
    [everything] = PROJECT["optional-dependencies"]["all"]
    assert everything.startswith("zego-batcher[")


def test_no_message_asks_for_a_distribution_called_batcher() -> None:
    """The index has another package of that name."""
    files = [
        *(path for folder in ("batcher", "contrib") for path in (ROOT / folder).rglob("*") if path.is_file()),
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
    ]
    asked = re.compile(rb"(?<!zego-)batcher\[|pip install '?batcher\b")
    found = [path for path in files if path.suffix != ".pyc" and asked.search(path.read_bytes())]
    assert [str(path.relative_to(ROOT)) for path in found] == []
