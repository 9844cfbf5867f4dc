"""Messages about settings that are wrong: which setting, the value given, and what to give instead.

Used by :mod:`batcher.config.examine`, and by the command line for values of options. A value that may hold a
secret is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from batcher.config.secrets import SECRETS, may_be_secret
from batcher.model.account import QUOTATION_MARKS, in_quotes

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

COMMAND_LINE, ENVIRONMENT, DOTENV = "command line", "environment", ".env"
"""Where a value comes from, besides the file of settings, whose path is its origin."""

_MAY_BE_SECRET = re.compile(r"(?=[0-9]*[A-Za-z])[0-9A-Za-z]{8,}")
"""Part of an AppId that is not repeated; an AppId is digits only."""
_WHOLE = re.compile(r"[+-]?\d+")


def file_problems(names: Iterable[str], path: Path, known: Iterable[str]) -> list[str]:
    """Problems with the names in the file of settings: secrets, and names of no setting."""
    return [
        f"{path}: {name}: {SECRETS[name]} is not accepted in this file; set BATCHER_{name.upper()}"
        if name in SECRETS
        else f"{path}: {name}: there is no such setting"
        for name in names
        if name in SECRETS or name not in known
    ]


def value_problems(exc: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """One line for each value that was refused."""
    lines = []
    for error in exc.errors(include_url=False):
        name = str(error["loc"][0])
        given = str(error.get("input"))
        hidden = name in SECRETS or (name == "app_id" and _MAY_BE_SECRET.search(given))
        shown = "" if hidden else shown_value(given)
        more = _app_id_remedy(given) if name == "app_id" else ""
        lines.append(f"{_named(name, origins[name])}{shown}: {remedy_of(error)}{more}")
    return lines


def shown_value(given: str) -> str:
    """A value as a message repeats it, after a blank; empty when it may hold a secret."""
    return "" if "@" in given or may_be_secret(given) else f" {given}"


def remedy_of(error: ErrorDetails) -> str:
    """Return the remedy for a refused value of a setting or an option."""
    bounds = error.get("ctx", {})
    match error["type"]:
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "give a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "give a number"
        case "bool_parsing" | "bool_type":
            return "give true or false"
        case "greater_than":
            return f"give more than {bounds['gt']:g}"
        case "greater_than_equal":
            return f"give {bounds['ge']:g} or more"
        case "less_than":
            return f"give less than {bounds['lt']:,}"
        case "less_than_equal":
            return f"give {bounds['le']:,.0f} at most"
        case "enum" | "literal_error":
            return f"give {bounds['expected'].replace(chr(39), '')}"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _app_id_remedy(given: str) -> str:
    """The rest of the message about an AppId that is not a number; the value may be a secret."""
    if _is_number(given):
        return ""
    if in_quotes(given) and _is_number(given.strip().strip(QUOTATION_MARKS)):
        return ", without quotation marks"
    if _MAY_BE_SECRET.search(given):
        return (
            ", the one that the ZEGO console shows. The value is not repeated here, since it may be the "
            "ServerSecret: BATCHER_APP_ID and BATCHER_SERVER_SECRET may have been exchanged"
        )
    return ", the one that the ZEGO console shows"


def _is_number(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text.strip()))


def _named(name: str, origin: str) -> str:
    """A setting as the user gave it."""
    if origin == COMMAND_LINE:
        return "--" + name.removeprefix("listen_").replace("_", "-")
    return f"BATCHER_{name.upper()}" if origin in (ENVIRONMENT, DOTENV) else f"{origin}: {name}"
