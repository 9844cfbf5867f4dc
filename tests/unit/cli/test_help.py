"""The help of every command: complete, readable at each width, with examples that work."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_table import COMMANDS as TOP_COMMANDS
from support.command_table import EVERY_COMMAND as COMMANDS
from typer.testing import CliRunner

from batcher.cli.app import app
from batcher.cli.commands import COMMANDS as SUMMARIES
from batcher.exit_codes import ExitCode

README = Path(__file__).parents[3] / "README.md"

NAMES = sorted(COMMANDS)


@functools.cache
def printed(*words: str, columns: int) -> list[str]:
    """The lines of a command's help at a width."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def help_of(*words: str) -> str:
    """A command's help as it is printed, on one line."""
    return " ".join(" ".join(printed(*words, columns=200)).split())


def examples(text: str) -> list[list[str]]:
    """The commands after ``Example:``, split as a shell does."""
    found = re.findall(r"Examples?[^:\n]*:\s+batcher (.+)", text)
    return [shlex.split(one) for one in found]


@pytest.mark.parametrize("name", NAMES)
def test_every_help_has_an_example_and_its_exit_codes(name: str) -> None:
    """Each help lists the exit codes and has an example."""
    text = help_of(*name.split())
    assert [words for words in ("Example:", "Exit codes:") if words not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    """Each option and argument has a text in the help."""
    text = help_of(*name.split())
    params = [param for param in COMMANDS[name].params if not getattr(param, "hidden", False)]
    assert [param.name for param in params if not getattr(param, "help", None)] == []
    flags = [flag for param in params for flag in param.opts if flag.startswith("-")]
    assert [flag for flag in flags if flag not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_example_in_help_parses(name: str) -> None:
    """Each example is a command line that batcher accepts."""
    found = examples(inspect.cleandoc(COMMANDS[name].help))
    assert found
    for words in found:
        own = len(name.split())
        assert words[:own] == name.split()
        context = COMMANDS[name].make_context(name, words[own:])
        assert context.params or hasattr(COMMANDS[name], "commands")


@pytest.mark.parametrize("name", NAMES)
def test_example_fits_on_one_line_of_a_narrow_terminal(name: str) -> None:
    """At 80 columns each example is on one line, so that it can be pasted."""
    lines = [" ".join(line.split()) for line in printed(*name.split(), columns=80)]
    wanted = re.findall(r"Examples?[^:\n]*:\s+(batcher .+)", inspect.cleandoc(COMMANDS[name].help))
    assert [one for one in wanted if not any(line.endswith(one) for line in lines)] == []


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (80, 80), (200, 100)])
def test_help_is_as_wide_as_the_terminal_up_to_100_columns(columns: int, widest: int) -> None:
    """No line is wider than the terminal, nor wider than 100 columns."""
    for name in NAMES:
        assert max(map(len, printed(*name.split(), columns=columns))) == widest


@pytest.mark.parametrize("name", NAMES)
def test_extras_in_help_keep_their_brackets(name: str) -> None:
    """Square brackets in the help are not read as markup."""
    assert "pip install 'batcher'" not in help_of(*name.split())


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_no_python_types(name: str) -> None:
    """Flags and options show no Python types."""
    text = help_of(*name.split())
    assert re.findall(r"<\w+>|list\[", text) == []


def test_programs_own_help_names_every_command_and_exit_code() -> None:
    """``batcher --help`` lists the commands, the exit codes and the first steps."""
    text = help_of()
    assert [name for name in TOP_COMMANDS if f" {name} " not in text] == []
    assert [code for code in ExitCode if f" {code:d} " not in text] == []
    assert "First steps: batcher demo (no account), batcher check, batcher load MANIFEST" in text


@pytest.mark.parametrize("name", SUMMARIES)
def test_summary_is_the_first_sentence_of_the_help(name: str) -> None:
    """The list of commands and the help of a command agree."""
    assert inspect.cleandoc(COMMANDS[name].help).split("\n\n")[0] == SUMMARIES[name].text


def test_help_imports_no_command() -> None:
    """``batcher --help`` starts fast: what a command needs is imported with the command."""
    code = (
        "import sys; from batcher.cli.app import main\n"
        "sys.argv = ['batcher', '--help']\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert loaded & {"aiohttp", "asyncio", "pydantic", "sqlalchemy"} == set()
    assert [name for name in loaded if name.startswith("batcher.cli.commands.")] == []


def test_mistyped_option_has_exit_code_2() -> None:
    """An unknown option is an error of usage."""
    assert CliRunner().invoke(app, ["run", "--rat", "3"]).exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_in_the_readme(name: str) -> None:
    """The README names every command."""
    assert re.search(rf"\bbatcher {name}\b", README.read_text("utf-8"))
