"""The house: which package may import which, and how modules are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import batcher
from batcher.api import public_names
from batcher.cli.commands import COMMANDS

ROOT = Path(batcher.__file__).parent
MIGRATIONS = ROOT.parent / "migrations"

FLOORS = {
    "exit_codes": -1,
    "errors": 0,
    **dict.fromkeys(("_version", "files", "model", "requirements", "sandbox"), 1),
    **dict.fromkeys(("config", "manifest", "output_files", "report", "zego"), 2),
    **dict.fromkeys(("flowcontrol", "ledger"), 3),
    **dict.fromkeys(("callbacks", "discover", "fetch", "submit", "telemetry", "track"), 4),
    "api": 5,
    **dict.fromkeys(("__init__", "cli"), 6),
    "__main__": 7,
}
"""The floor of each package: it imports from floors below its own, and nothing else."""

LOOSE_MODULES = 8
"""How many modules may stand beside the packages."""

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}


def imported(file: Path) -> Iterator[str]:
    """The packages of batcher that a file imports, wherever in the file the import stands."""
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
            if parts[0] == "batcher" and len(parts) > 1:
                yield parts[1]


def package_of(file: Path) -> str:
    """The package of batcher that a file belongs to."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(file for file in ROOT.rglob("*.py") if "migrations" not in file.relative_to(ROOT).parts)


def test_floors_name_every_package_and_no_other() -> None:
    """A new package has a line in the table, and no line is left of an old one."""
    assert set(FLOORS) == {package_of(file) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_package_imports_only_from_floors_below(file: Path) -> None:
    """No package imports sideways or upwards."""
    package = package_of(file)
    wrong = {name for name in imported(file) if name != package and FLOORS[name] >= FLOORS[package]}
    assert wrong == set()


def test_loose_modules_stay_few() -> None:
    """The modules outside packages are listed, and stay few."""
    assert len([*ROOT.glob("*.py")]) <= LOOSE_MODULES


def test_every_command_has_a_file_of_its_name() -> None:
    """A person who knows the command line can guess the file."""
    files = {file.stem.replace("_", "-") for file in (ROOT / "cli" / "commands").glob("*.py")}
    assert set(COMMANDS) <= files


def test_only_the_command_line_reads_the_environment_prints_or_exits() -> None:
    """Nothing below the command line calls print or exit."""
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.func.id}"
        for file in FILES
        if package_of(file) not in {"cli", "__main__"}
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"print", "exit", "quit", "input"}
    ]
    assert calls == []


def test_migrations_import_only_the_tables() -> None:
    """The versions import nothing of batcher; their entry imports the tables alone."""
    versions = sorted((MIGRATIONS / "versions").glob("*.py"))
    assert versions
    assert [name for file in versions for name in imported(file)] == []
    entry = ast.parse((MIGRATIONS / "env.py").read_text("utf-8"))
    modules = [node.module for node in ast.walk(entry) if isinstance(node, ast.ImportFrom)]
    assert [name for name in modules if name and name.startswith("batcher")] == ["batcher.ledger.schema"]


def test_modules_have_names_of_the_field() -> None:
    """There is no room for what has no name."""
    assert set() == {file.stem for file in FILES} & FORBIDDEN_NAMES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_has_a_docstring(file: Path) -> None:
    """Each module opens with a docstring."""
    assert ast.get_docstring(ast.parse(file.read_text("utf-8")))


def test_word_for_the_place_of_a_row_has_one_owner() -> None:
    """Whether a manifest's row is named by a line or a row is decided in the model, not in each message."""
    wording = re.compile(r"\b(?:line|row) \{")
    folders = [ROOT / name for name in ("cli/commands", "manifest", "model", "report", "submit")]
    files = [file for folder in folders for file in folder.rglob("*.py") if file.name != "submission.py"]
    assert [str(file) for file in files if wording.search(file.read_text("utf-8"))] == []


def test_questions_about_paths_never_raise() -> None:
    """pathlib raises where a folder must not be searched; `batcher.files` has the questions that do not."""
    asked = {"exists", "is_dir", "is_file", "is_fifo", "is_symlink", "is_socket"}
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.func.attr}"
        for file in FILES
        if package_of(file) not in {"sandbox", "files"}
        if file.name != "resources.py"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in asked and not node.args and not node.keywords
    ]
    assert calls == []


def test_public_names_are_importable() -> None:
    """Each promised name is an attribute of the package; none is the package of the same name."""
    names = [name for name in vars(public_names) if not name.startswith("_")]
    assert {"Account", "open_ledger", "track"} < set(names)
    assert [name for name in names if getattr(batcher, name) is not getattr(public_names, name)] == []
    assert (ROOT / "py.typed").is_file()


@pytest.mark.parametrize("name", batcher.RENAMED)
def test_old_library_name_warns_and_is_the_new_one(name: str) -> None:
    """A name of 0.1 still works, and says what it is called now."""
    new = batcher.RENAMED[name]
    with pytest.warns(DeprecationWarning, match=new):
        old = getattr(batcher, name)
    assert old is getattr(batcher, new)
