"""Reading of settings: each source once, every problem reported together.

Called by the command line before a command does anything, by ``check``, which shows where each value comes
from, and by notifications, which are sent for commands whose settings are wrong, too. A later source outranks
an earlier one: ``batcher.toml``, ``.env``, the environment, the command line.

Commands that only read start through here, so nothing heavy is imported: pydantic-settings, which could read
the same sources, takes twice as long to import as everything else that ``status`` needs.
"""

from __future__ import annotations

import difflib
import io
import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batcher.config import defaults, problems
from batcher.config.problems import COMMAND_LINE, DOTENV, ENVIRONMENT
from batcher.config.secrets import SECRETS
from batcher.config.settings import PATHS, Settings
from batcher.errors import SettingsError
from batcher.files import absolute, native, others_may_read, text_of

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
    warnings: tuple[tuple[str, str], ...] = ()
    """What is dangerous about the sources: the fact, and the remedy."""

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
        reading.add(
            str(path), _paths_native({name: value for name, value in toml.items() if name not in SECRETS})
        )
    try:
        dotenv = _dotenv_variables()
    except SettingsError as exc:
        reading.fail(str(exc))
    else:
        reading.warnings += _exposed(dotenv)
        reading.variables |= {name.upper() for name in dotenv if name.upper().startswith(PREFIX)}
        reading.add(DOTENV, _paths_native(_values_of(dotenv)))
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
    warnings: list[tuple[str, str]] = field(default_factory=list)

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
        return Examined(
            settings, self.origins, tuple(self.problems), unsure, tuple(strange), tuple(self.warnings)
        )


def _dotenv_variables() -> dict[str, str | None]:
    """Return the variables in ``.env``; an empty table if there is none.

    Raises:
        SettingsError: it cannot be read, or is not UTF-8.
    """
    try:
        text = text_of(DOTENV)
    except SettingsError as exc:
        if isinstance(exc.__cause__, FileNotFoundError | IsADirectoryError):
            return {}
        raise SettingsError(f"{absolute(DOTENV)}: {exc}") from exc
    from dotenv import dotenv_values  # imported only if there is such a file, to start fast

    return dotenv_values(stream=io.StringIO(text))


def _exposed(dotenv: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Return a warning when others on this machine may read a secret in ``.env``."""
    names = [name for name in SECRETS if dotenv.get(f"{PREFIX}{name.upper()}")]
    if not names or not others_may_read(DOTENV):
        return []
    place = absolute(DOTENV)
    held = f"{PREFIX}{names[0].upper()}"
    return [
        (
            f"{place}: other users of this machine may read it, and it holds {held}",
            f"run `chmod 600 {shlex.quote(str(place))}`",
        )
    ]


def _values_of(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables by the names of the settings; empty ones count as not given."""
    return {
        name.upper().removeprefix(PREFIX).lower(): value
        for name, value in variables.items()
        if value and name.upper().startswith(PREFIX)
    }


def _paths_native(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a file, with paths as the system takes them in this locale."""
    return {
        name: native(value) if isinstance(value, str) and name in PATHS else value
        for name, value in values.items()
    }


_TOML_REMEDY = 'Write one NAME = VALUE a line, and text between quotation marks: vendor = "Tencent"'


def _parse_toml(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Return the values in the file of settings, by the names of the settings.

    Raises:
        SettingsError: it is missing, cannot be read, or is not TOML.
    """
    try:
        values = tomllib.loads(text_of(path))
    except SettingsError as exc:
        if may_be_missing and isinstance(exc.__cause__, FileNotFoundError):
            return {}
        raise SettingsError(f"{'' if may_be_missing else '--config '}{absolute(path)}: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{absolute(path)}: is not TOML: {exc}. {_TOML_REMEDY}") from exc
    return {name.replace("-", "_"): value for name, value in values.items()}
