"""Reading of settings: each source once, every problem reported together.

Called by the command line before a command does anything, by ``check``, which shows where each value comes
from, and by notifications, which are sent for commands whose settings are wrong, too. A later source outranks
an earlier one: ``batcher.toml``, ``.env``, the environment, the command line.

Commands that only read start through here, so nothing heavy is imported: pydantic-settings, which could read
the same sources, takes twice as long to import as everything else that ``status`` needs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batcher.config import defaults, problems
from batcher.config.problems import COMMAND_LINE, DOTENV, ENVIRONMENT
from batcher.config.secrets import SECRETS
from batcher.config.settings import Settings
from batcher.errors import SettingsError

PREFIX = "BATCHER_"
"""The prefix of all variables."""


@dataclass(frozen=True, slots=True)
class Examined:
    """All settings, read although some may be wrong."""

    settings: Settings
    """With defaults in place of what is wrong."""
    origins: Mapping[str, str]
    """The source of each value that is not a default, right or wrong."""
    problems: tuple[str, ...]
    unsure: frozenset[str]
    """Settings whose values are not known: they are wrong, or a file that may set them cannot be read."""
    strange: tuple[str, ...]
    """Variables that look like settings and are not."""

    def checked(self) -> Settings:
        """Return the settings.

        Raises:
            SettingsError: with every problem.
        """
        if self.problems:
            raise SettingsError(*self.problems)
        return self.settings


def load_settings(flags: Mapping[str, object], config: Path | None = None) -> Settings:
    """Read all settings.

    Args:
        flags: the values given on the command line; None and () count as not given.
        config: the file of settings; the default one may be missing.

    Raises:
        SettingsError: with every problem.
    """
    return examine_settings(flags, config).checked()


def examine_settings(flags: Mapping[str, object], config: Path | None = None) -> Examined:
    """Read all settings as :func:`load_settings` does, and report the problems instead of raising them."""
    reading = _Reading({}, {}, [], set(), {name for name in os.environ if name.upper().startswith(PREFIX)})
    path = config or Path(defaults.CONFIG)
    try:
        toml = _parse_toml(path, may_be_missing=config is None)
    except SettingsError as exc:
        reading.fail(str(exc))
    else:
        reading.problems += problems.file_problems(toml, path, Settings.model_fields)
        reading.add(str(path), {name: value for name, value in toml.items() if name not in SECRETS})
    try:
        dotenv = _dotenv_variables()
    except (OSError, UnicodeDecodeError) as exc:
        reading.fail(f".env: cannot be read: {exc}")
    else:
        reading.variables |= {name.upper() for name in dotenv if name.upper().startswith(PREFIX)}
        reading.add(DOTENV, _values_of(dotenv))
    reading.add(ENVIRONMENT, _values_of(os.environ))
    reading.add(COMMAND_LINE, {name: value for name, value in flags.items() if value not in (None, ())})
    return reading.result()


def strange_text(variable: str) -> tuple[str, str]:
    """Return the mistake in a variable that is not a setting, and the remedy."""
    names = {name.upper(): f"BATCHER_{name.upper()}" for name in Settings.model_fields}
    near = difflib.get_close_matches(variable.upper().removeprefix("BATCHER_"), names, 1)
    remedy = f"perhaps {names[near[0]]} is meant" if near else "remove it, or correct its name"
    return f"{variable}: there is no such setting, and it has no effect", remedy


@dataclass(slots=True)
class _Reading:
    """The values that the sources read so far have given."""

    values: dict[str, Any]
    origins: dict[str, str]
    problems: list[str]
    unsure: set[str]
    variables: set[str]

    def add(self, origin: str, given: Mapping[str, Any]) -> None:
        """Let the values of a source outrank those before it."""
        found = {name: value for name, value in given.items() if name in Settings.model_fields}
        self.values |= found
        self.origins |= dict.fromkeys(found, origin)
        self.unsure -= found.keys()

    def fail(self, problem: str) -> None:
        """Record that a source cannot be read: any setting may be set in it."""
        self.problems.append(problem)
        self.unsure = set(Settings.model_fields)

    def result(self) -> Examined:
        """Validate the values; a wrong one gives way to its default."""
        known = {f"BATCHER_{name.upper()}" for name in Settings.model_fields}
        strange = sorted((name for name in self.variables if name.upper() not in known), key=str.upper)
        try:
            settings, wrong = Settings(**self.values), set[str]()
        except ValidationError as exc:
            wrong = {str(error["loc"][0]) for error in exc.errors()}
            self.problems += problems.value_problems(exc, self.origins)
            settings = Settings(**{name: value for name, value in self.values.items() if name not in wrong})
        unsure = frozenset(self.unsure | wrong)
        return Examined(settings, self.origins, tuple(self.problems), unsure, tuple(strange))


def _dotenv_variables() -> dict[str, str | None]:
    """Return the variables in ``.env``; an empty table if there is none.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    path = Path(DOTENV)
    if not (path.is_file() or path.is_fifo()):
        return {}
    from dotenv import dotenv_values  # imported only if there is such a file, to start fast

    return dotenv_values(path, encoding="utf-8")


def _values_of(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables by the names of the settings; empty ones count as not given."""
    return {
        name.upper().removeprefix(PREFIX).lower(): value
        for name, value in variables.items()
        if value and name.upper().startswith(PREFIX)
    }


def _parse_toml(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Return the values in the file of settings, by the names of the settings.

    Raises:
        SettingsError: it is missing, cannot be read, or is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if may_be_missing:
            return {}
        raise SettingsError(f"--config {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path}: {exc}") from exc
    return {name.replace("-", "_"): value for name, value in values.items()}
