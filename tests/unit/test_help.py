"""Help is documentation: every command's help is whole, and its examples work."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from batcher.cli.app import app

README = Path(__file__).parents[2] / "README.md"

GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(GROUP.commands)
for name, command in GROUP.commands.items():
    COMMANDS |= {f"{name} {inner}": one for inner, one in getattr(command, "commands", {}).items()}
NAMES = sorted(COMMANDS)


def help_of(*words: str) -> str:
    """A command's help as it is printed, on one line."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def examples(text: str) -> list[list[str]]:
    """The commands after ``Example:``, as a shell would hand them over."""
    found = re.findall(r"Examples?[^:\n]*:\s+batcher (.+)", text)
    return [shlex.split(one) for one in found]


@pytest.mark.parametrize("name", NAMES)
def test_every_help_has_an_example_and_its_exit_codes(name: str) -> None:
    """Each command's help says how it ends and gives something to paste."""
    text = help_of(*name.split())
    assert [words for words in ("Example:", "Exit codes:") if words not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    """Each option and argument stands in the help, with a text of its own."""
    text = help_of(*name.split())
    params = [param for param in COMMANDS[name].params if not getattr(param, "hidden", False)]
    assert [param.name for param in params if not getattr(param, "help", None)] == []
    flags = [flag for param in params for flag in param.opts if flag.startswith("-")]
    assert [flag for flag in flags if flag not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_example_in_help_parses(name: str) -> None:
    """What help tells to paste is a command line that batcher takes."""
    found = examples(inspect.cleandoc(COMMANDS[name].help))
    assert found
    for words in found:
        own = len(name.split())
        assert words[:own] == name.split()
        context = COMMANDS[name].make_context(name, words[own:])
        assert context.params or hasattr(COMMANDS[name], "commands")


def test_the_programs_own_help_names_every_command_and_exit_code() -> None:
    """``batcher --help`` lists the commands, the exit codes and an example."""
    text = help_of()
    assert [name for name in GROUP.commands if f" {name} " not in text] == []
    assert [
        code for code in ("0", "1", "2", "3", "4", "5", "6", "130", "143") if f" {code} " not in text
    ] == []
    assert "Example, without an account: batcher demo" in text


def test_a_mistyped_option_ends_with_2() -> None:
    """What cannot be understood is a fault of usage."""
    assert CliRunner().invoke(app, ["run", "--rat", "3"]).exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_in_the_readme(name: str) -> None:
    """The README knows every command by its name."""
    assert re.search(rf"\bbatcher {name}\b", README.read_text("utf-8"))
