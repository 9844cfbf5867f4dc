"""Commands that messages suggest: quoted for a shell, and wrapped so that they can be pasted. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

from batcher.model.ledger_name import LedgerName
from batcher.report.formatting import columns, one_line

FIRST_RUN = "batcher run MANIFEST"
"""The command that makes a ledger and begins to send."""

_PASSWORD = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*(?=@)")
"""The password in a URL, after its user."""

_PARAMETER = re.compile(r"&(?:ssl)?password=[^&#]*|(?<=\?)(?:ssl)?password=[^&#]*&?")
"""The same among the parameters of a URL."""

_WORDS = re.compile(r"""(?:-[\w-]+\ )?(?:'[^']*'|"[^"]*"|[^\s'"])+""")
"""A word of a command line as a shell reads it, or an option with its value."""


def ledger_option(ledger: str | LedgerName) -> str:
    """The option that names a ledger, without a password, after a blank; empty for the default ledger."""
    shown = _PARAMETER.sub("", _PASSWORD.sub(r"\1", str(ledger)))
    return "" if shown in ("batcher.db", os.path.realpath("batcher.db")) else f" -l {shlex.quote(shown)}"


def command_lines(purpose: str, command: str, width: int) -> list[str]:
    """The lines of a command after its purpose; a command that is too wide continues after a backslash."""
    lines = [f"  {purpose:<13}"]
    for word in _WORDS.findall(command):
        if columns(f"{lines[-1]} {word}") > width - 2 and lines[-1].strip() != purpose:
            lines[-1] += " \\"
            lines.append(" " * 17)
        lines[-1] += f" {word}"
    return lines


def next_lines(steps: Iterable[tuple[str, str]], width: int) -> list[str]:
    """The commands to go on with, under a heading.

    Args:
        steps: each command and its purpose.
        width: columns of a line.
    """
    lines = (line for command, purpose in steps for line in command_lines(purpose, command, width))
    return ["Next", *map(one_line, lines)]
