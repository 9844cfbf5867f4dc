"""Who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import batcher
from batcher import api

ROOT = Path(batcher.__file__).parent
MIGRATIONS = ROOT.parent / "migrations"

WORDS = {"audit", "callbacks", "errors", "history", "model", "notices", "records", "redaction"}
TOOLS = {"disposition", "ledger", "manifest", "pacer", "pictures", "report", "settings", "zego"}
FLOW = {"claims", "governor", "loader", "matching", "worker"}

FLOORS: dict[str, set[str]] = {
    **dict.fromkeys(WORDS, WORDS),
    **dict.fromkeys(TOOLS, WORDS),
    "ledger": WORDS | {"bundled"},
    "manifest": WORDS | {"version"},
    **dict.fromkeys(FLOW, WORDS | TOOLS | FLOW),
    "inquiry": WORDS | TOOLS | FLOW,
    "discovery": WORDS | TOOLS | {"inquiry"},
    "verification": WORDS | TOOLS | {"discovery", "inquiry"},
    "fetching": WORDS | TOOLS,
    "confirming": WORDS | TOOLS | {"runner", "tracker"},
    "receiver": WORDS | TOOLS,
    "window": set(),
    "runner": WORDS | TOOLS | FLOW | {"window"},
    "tracker": WORDS | TOOLS | FLOW | {"runner", "window"},
    "metrics": WORDS | {"ledger", "report"},
    "notifying": set(),
    "wiring": WORDS | TOOLS | FLOW | {"runner", "window", "version"},
    "api": WORDS | TOOLS | FLOW | {"runner", "wiring"},
    "cli": WORDS
    | TOOLS
    | FLOW
    | {"discovery", "fetching", "inquiry", "verification"}
    | {"confirming", "receiver", "tracker"}
    | {"runner", "window", "wiring", "metrics", "notifying", "sandbox", "bundled", "version"},
    "__main__": {"cli"},
    "__init__": {"api"},
    "bundled": set(),
    "sandbox": set(),
}
"""What each part may import besides itself."""

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}


def ours(file: Path) -> Iterator[str]:
    """The parts of batcher that a file imports, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = file.resolve().relative_to(ROOT.parent).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "batcher":
                yield "version" if parts[1:] in ([], ["__version__"]) else parts[1]


def part_of(file: Path) -> str:
    """The part of batcher that a file belongs to."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(file for file in ROOT.rglob("*.py") if "migrations" not in file.relative_to(ROOT).parts)


def test_every_part_has_its_floor() -> None:
    """A new part of the house has a line in the table above, and no line is left of an old one."""
    assert set(FLOORS) == {part_of(file) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_part_imports_only_from_floors_below(file: Path) -> None:
    """No module imports sideways within the tools, or upwards."""
    part = part_of(file)
    assert set() == set(ours(file)) - FLOORS.get(part, set()) - {part}


def test_the_flow_has_no_circle() -> None:
    """The parts on one floor do not import one another in a circle."""
    graph = {part: set[str]() for part in FLOORS}
    for file in FILES:
        graph[part_of(file)] |= set(ours(file)) & set(FLOORS) - {part_of(file)}
    while free := {part for part, needs in graph.items() if not needs}:
        graph = {part: needs - free for part, needs in graph.items() if part not in free}
    assert graph == {}


def test_only_the_command_line_reads_the_environment_prints_or_exits() -> None:
    """Nobody below the command line calls print or exits."""
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.func.id}"
        for file in FILES
        if part_of(file) not in {"cli", "__main__"}
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"print", "exit", "quit", "input"}
    ]
    assert calls == []


def test_migrations_import_nothing_of_ours_but_the_tables() -> None:
    """The versions stand for themselves; their entry knows the tables alone."""
    versions = sorted((MIGRATIONS / "versions").glob("*.py"))
    assert versions
    assert [name for file in versions for name in ours(file)] == []
    entry = ast.parse((MIGRATIONS / "env.py").read_text("utf-8"))
    modules = [node.module for node in ast.walk(entry) if isinstance(node, ast.ImportFrom)]
    assert [name for name in modules if name and name.startswith("batcher")] == ["batcher.ledger.tables"]


def test_every_module_is_named_by_a_noun_of_the_field() -> None:
    """There is no room for what has no name."""
    assert set() == {file.stem for file in FILES} & FORBIDDEN_NAMES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_says_what_it_is(file: Path) -> None:
    """Each module opens with a docstring."""
    assert ast.get_docstring(ast.parse(file.read_text("utf-8")))


def test_the_word_for_where_a_row_stands_has_one_owner() -> None:
    """Whether a manifest's row is told by a line or a row is for the model to say, not for each message."""
    wording = re.compile(r"\b(?:line|row) \{")
    files = [ROOT / "loader.py", *(ROOT / "manifest").glob("*.py"), *(ROOT / "report").glob("*.py")]
    files += [ROOT / "cli" / "reading.py", ROOT / "records.py"]
    assert [str(file) for file in files if wording.search(file.read_text("utf-8"))] == []


def test_the_public_names() -> None:
    """The package promises its version and the library, each name of which is there; nothing else."""
    assert sorted(batcher.__all__) == sorted([*api.__all__, "__version__"])
    assert [
        name
        for name in batcher.__all__
        if getattr(batcher, name) is not getattr(api, name, batcher.__version__)
    ] == []
    assert (ROOT / "py.typed").is_file()
