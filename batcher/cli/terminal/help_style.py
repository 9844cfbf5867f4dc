"""The look of help, and the classes of all commands and groups.

Used by :mod:`batcher.cli.command`. Help is drawn in bold instead of colours, which vanish on one background
or the other, and no wider than can be read. The modules that draw are imported when help is drawn.
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


class _HelpStyle:
    """The look of the help of a command or group."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - a private type of the library
        """Draw the help."""
        _set_style(self.get_params(ctx))  # type: ignore[attr-defined] # of the class it is mixed into
        super().format_help(ctx, formatter)  # type: ignore[misc] # likewise

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401 - a private type of the library
        """Return ``--help`` with a boolean default: Typer imports pydantic to convert None, at each start."""
        option = super().get_help_option(ctx)  # type: ignore[misc] # likewise
        if option is not None:
            option.default = False
        return option


class Command(_HelpStyle, TyperCommand):
    """A command whose help looks like that of all others."""


class Group(_HelpStyle, TyperGroup):
    """A group of commands whose help looks like that of all others."""


def _set_style(params: list[Any]) -> None:
    """Set the style of all help, and hide the types that flags and arguments would show."""
    from typer import rich_utils

    for name in _PLAIN:
        setattr(rich_utils, name, "none")
    for name in _BOLD:
        setattr(rich_utils, name, "bold")
    rich_utils.DEFAULT_STRING = "(default: {})"
    rich_utils.MAX_WIDTH = min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)
    for param in params:
        if getattr(param, "is_flag", False) or param.param_type_name == "argument":
            param.display_type_rich = _no_type


def _no_type(ctx: object) -> None:
    """Return no type: a flag takes no value, and the name of an argument says what it is."""
    del ctx
