"""The command: what it is called with, and the commands it knows.

Each command has a file of its name in ``commands``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from batcher._version import __version__
from batcher.cli.command import app
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.logging_setup import take_over

__all__ = ["app", "main"]


def main() -> None:
    """The ``batcher`` command."""
    console = Console(log_format=_log_format(sys.argv[1:]))
    take_over(console)
    try:
        code = typer.main.get_command(app)(standalone_mode=False)
    except Exception as exc:  # a line that cannot be understood; whose class is the library's own affair
        if not isinstance(code := getattr(exc, "exit_code", None), int):
            raise
        if text := _unusable(exc) or (exc.format_message() if hasattr(exc, "format_message") else str(exc)):
            at = getattr(getattr(exc, "ctx", None), "command_path", "batcher")
            console.problem(f"batcher: {text.rstrip('.')}; see {at} --help", exit_code=code)
    sys.exit(code)


def _unusable(exc: Exception) -> str | None:
    """A value that no option takes, in the words in which settings are refused; None when it is not that."""
    problems = getattr(exc.__cause__, "errors", None)
    param = getattr(exc, "param", None)
    if problems is None or param is None:
        return None
    from batcher.config.settings import wanted

    error = problems(include_url=False)[0]
    option = next((one for one in param.opts if one.startswith("--")), param.metavar or param.opts[0])
    return f"{option} {error['input']}: {wanted(error)}"


def _log_format(words: Sequence[str]) -> str | None:
    """What ``--log-format`` says on a command line that may be wrong otherwise."""
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    del version
