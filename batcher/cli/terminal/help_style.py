"""How help looks: weight instead of colours, lines that are not too long, and no types of Python.

Between the commands and Typer, whose colours vanish on one background or the other. What draws is brought
in when help is drawn, never before. It never changes what is said.
"""

from __future__ import annotations

import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

from batcher.cli.terminal.text import MAX_WIDTH

_PLAIN = (
    "STYLE_HELPTEXT",
    "STYLE_OPTION_DEFAULT",
    "STYLE_OPTIONS_PANEL_BORDER",
    "STYLE_COMMANDS_PANEL_BORDER",
    "STYLE_REQUIRED_LONG",
    "STYLE_TYPES",
    "STYLE_TYPES_SEPARATOR",
    "STYLE_USAGE",
)
_BOLD = ("STYLE_OPTION", "STYLE_SWITCH", "STYLE_COMMANDS_TABLE_FIRST_COLUMN", "STYLE_REQUIRED_SHORT")


class Command(TyperCommand):
    """A command whose help looks like all others'."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the library moves these types
        """Draw the help."""
        _dress(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help looks like all others'."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the library moves these types
        """Draw the help."""
        _dress(self.get_params(ctx))
        super().format_help(ctx, formatter)


def _dress(params: list[Any]) -> None:
    """Set how all help is drawn, and leave out what flags and arguments would show as their types."""
    from typer import rich_utils

    for name in _PLAIN:
        setattr(rich_utils, name, "none")
    for name in _BOLD:
        setattr(rich_utils, name, "bold")
    rich_utils.DEFAULT_STRING = "(default: {})"
    rich_utils.MAX_WIDTH = min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)
    for param in params:
        if getattr(param, "is_flag", False) or param.param_type_name == "argument":
            param.display_type_rich = _nothing


def _nothing(ctx: object) -> None:
    """A flag takes no value, and an argument's name says what it is."""
    del ctx
