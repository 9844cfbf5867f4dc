"""The ``batcher`` program: its entry point, and the message about a command line that cannot be understood.

Called by the installed command and by ``python -m batcher``. Each command has a file of its name in
``commands``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from batcher._version import __version__
from batcher.cli.command import app, say_problem
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.logging_setup import say_defect, take_over
from batcher.errors import BatcherError, StdoutClosed
from batcher.exit_codes import ExitCode

__all__ = ["app", "main"]


def main() -> None:
    """Run the ``batcher`` command and exit the process."""
    console = Console(log_format=_log_format(sys.argv[1:]))
    take_over(console)
    try:
        code = typer.main.get_command(app)(standalone_mode=False)
        sys.stdout.flush()
    except StdoutClosed:
        code = 0
    except BatcherError as exc:
        say_problem(console, exc)
        code = exc.exit_code
    except Exception as exc:
        code = _said(console, exc)
    sys.exit(code)


def _said(console: Console, exc: Exception) -> int:
    """Report why a command line cannot be understood, or what else failed.

    The classes of the command-line library are private, so they are known by their attributes.
    """
    code = getattr(exc, "exit_code", None)
    if not isinstance(code, int):
        say_defect(console, exc)
        return ExitCode.DEFECT
    if text := _unusable(exc) or (exc.format_message() if hasattr(exc, "format_message") else str(exc)):
        at = getattr(getattr(exc, "ctx", None), "command_path", "batcher")
        console.problem(f"batcher: {text.rstrip('.')}; see {at} --help", exit_code=code)
    return code


def _unusable(exc: Exception) -> str | None:
    """Return the message for a value that an option refuses, as for settings; None for other errors."""
    problems = getattr(exc.__cause__, "errors", None)
    param = getattr(exc, "param", None)
    if problems is None or param is None:
        return None
    from batcher.config.problems import remedy_of, shown_value

    error = problems(include_url=False)[0]
    option = next((one for one in param.opts if one.startswith("--")), param.metavar or param.opts[0])
    return f"{option}{shown_value(str(error['input']))}: {remedy_of(error)}"


def _log_format(words: Sequence[str]) -> str | None:
    """Return the value of ``--log-format``, also from a command line that is wrong otherwise."""
    given = None
    for word, next_word in zip(words, [*words[1:], None], strict=False):  # there may be no words
        if word == "--":
            break
        if word == "--log-format":
            given = next_word
        elif word.startswith("--log-format="):
            given = word.partition("=")[2]
    return given


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batcher {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version
