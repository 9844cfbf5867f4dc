"""Settings looked at one by one, so that every fault can be named at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batcher.config.secrets import SECRETS
from batcher.config.settings import (
    DEFAULT_CONFIG,
    Settings,
    _dotenv_variables,
    _parse_toml,
    _problems,
    _SettingsClass,
    _strange,
    _toml_problems,
)
from batcher.errors import SettingsError

# -- looking at settings that may be wrong ------------------------------------------------------------


@cache
def _given_alone() -> type[Settings]:
    """Settings out of what is given; nothing else is read. Made when needed: it takes 20 ms."""

    class Given(Settings):
        model_config = SettingsConfigDict(env_file=None)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: _SettingsClass,  # noqa: ARG003 - the signature is the library's
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """What is given, and nothing else."""
            return (init_settings,)

    return Given


@dataclass(frozen=True, slots=True)
class Examined:
    """All settings, looked at although some may be wrong."""

    settings: Settings
    """With defaults in place of what is wrong."""
    origins: Mapping[str, str]
    """Where each comes from that is not default, right or wrong."""
    problems: tuple[str, ...]
    """Everything for which :func:`~batcher.config.settings.load_settings` would refuse them."""
    unsure: frozenset[str]
    """Those whose values are not known: they are wrong, or a file that may set them cannot be read."""
    strange: tuple[str, ...]
    """Variables that look like settings and are none."""


def examine_settings(flags: Mapping[str, object], config: Path | None = None) -> Examined:
    """Read all settings, past every fault at which ``load_settings`` would raise; never raises itself."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    unsure: set[str] = set()
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    toml: dict[str, Any] = {}
    variables: set[str] = {name for name in os.environ if name.upper().startswith("BATCHER_")}
    path = config or Path(DEFAULT_CONFIG)

    def read_toml() -> dict[str, Any]:
        toml.update(_parse_toml(config))
        problems.extend(_toml_problems(toml, path))
        return {name: value for name, value in toml.items() if name not in SECRETS}

    def read_dotenv() -> dict[str, Any]:
        source = DotEnvSettingsSource(Settings)
        variables.update(_dotenv_variables(source))
        return source()

    for origin, read in (
        (str(path), read_toml),
        (".env", read_dotenv),
        ("environment", EnvSettingsSource(Settings)),
        ("command line", lambda: given),
    ):
        try:
            found = {name: value for name, value in read().items() if name in Settings.model_fields}
        except SettingsError as exc:
            problems += str(exc).splitlines()
            unsure = set(Settings.model_fields)
            continue
        except (OSError, UnicodeDecodeError) as exc:
            problems.append(f".env: cannot be read: {exc}")
            unsure = set(Settings.model_fields)
            continue
        values |= found
        origins |= dict.fromkeys(found, origin)
        unsure -= found.keys()
    settings, wrong, more = _validated(values, given, toml, str(path))
    return Examined(settings, origins, (*problems, *more), frozenset(unsure | wrong), _strange(variables))


def _validated(
    values: Mapping[str, Any], flags: Mapping[str, object], toml: Mapping[str, object], config: str
) -> tuple[Settings, set[str], list[str]]:
    """Settings out of the values that are right; the names of those that are wrong, and why."""
    try:
        return _given_alone()(**values), set(), []
    except ValidationError as exc:
        wrong = {str(error["loc"][0]) for error in exc.errors()}
        right = {name: value for name, value in values.items() if name not in wrong}
        return _given_alone()(**right), wrong, _problems(exc, flags, toml, config)
