"""Findings about settings: problems, credentials, and the value and source of each setting.

Called by ``batcher check``. Values of secrets, and values that may be one, are never shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from pydantic import SecretStr

from batcher.config.account import account_of
from batcher.config.examine import Examined, strange_text
from batcher.config.problems import COMMAND_LINE, DOTENV, ENVIRONMENT
from batcher.config.secrets import may_be_secret
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.model.check import CheckFinding, fail, ok, warn
from batcher.model.redaction import redacted_url
from batcher.model.submission import EndpointKind

DOCUMENTED_RATE_PER_S = 20
"""The limit of each call, over all that share the AppId. Source: ZEGO server API, "Accessing server APIs"."""

ALWAYS_SHOWN = ("endpoint", "ledger", "rate")
"""Settings that are listed also where they are defaults."""

_PLACES = ("ledger", "endpoint")
"""Settings whose values are shown even if they look like a secret."""

_SECRETS = ("server_secret", "server_secret_file", "server_secret_command")
"""The settings that give the ServerSecret; the first that is set counts."""


def settings_findings(examined: Examined, *, all_settings: bool = False) -> Iterator[CheckFinding]:
    """Report the problems of the settings, and their values.

    Args:
        examined: the settings.
        all_settings: list defaults, too.
    """
    for problem in examined.problems:
        yield fail("settings", problem)
    for warning in examined.warnings:
        yield warn("settings", *warning)
    for variable in examined.strange:
        yield warn("settings", *strange_text(variable))
    for name in Settings.model_fields:
        listed = name in examined.origins or name in ALWAYS_SHOWN or all_settings
        if listed and name not in examined.unsure and name not in _SECRETS:
            yield _setting_finding(name, examined)


def credentials(examined: Examined) -> tuple[tuple[int, str] | None, list[CheckFinding]]:
    """Return the AppId and the ServerSecret, None if they are not known, and the findings about them.

    Problems that :func:`settings_findings` reports are not repeated.
    """
    giver = next((name for name in _SECRETS if getattr(examined.settings, name, None) is not None), None)
    asked = _SECRETS if giver is None else _SECRETS[: _SECRETS.index(giver) + 1]
    unsure = examined.unsure.intersection(("app_id", *asked))
    reported = tuple(f"BATCHER_{name.upper()}:" for name in unsure)
    account, problems = None, []
    try:
        account = account_of(examined.settings)
    except SettingsError as exc:
        problems = [line for line in str(exc).splitlines() if not line.startswith(reported)]
    findings = [fail("credentials", line) for line in problems]
    if giver and not any(line.startswith("BATCHER_SERVER_SECRET") for line in problems):
        place = f"BATCHER_{giver.upper()}{_place_of_secret(giver, examined)}"
        findings.insert(0, ok("credentials", f"the ServerSecret is set ({place})"))
    return (None if unsure else account), findings


def settings_json(examined: Examined) -> dict[str, dict[str, str | None]]:
    """The settings whose values are known, each with its source."""
    return {
        name: {"value": _value(name, examined.settings), "from": examined.origins.get(name, "default")}
        for name in Settings.model_fields
        if name not in examined.unsure
    }


def _setting_finding(name: str, examined: Examined) -> CheckFinding:
    settings, origin = examined.settings, examined.origins.get(name)
    text = f"{name}: {_value(name, settings)} ({_origin(name, origin)})"
    if name == "rate" and settings.rate > DOCUMENTED_RATE_PER_S and settings.place is EndpointKind.ZEGO:
        limit = f"the service takes {DOCUMENTED_RATE_PER_S} a second, over everything that shares the AppId"
        return warn("settings", text, limit)
    return ok("settings", text)


def _origin(name: str, origin: str | None) -> str:
    if origin == COMMAND_LINE:
        return "--" + name.replace("_", "-")
    if origin == ENVIRONMENT:
        return f"BATCHER_{name.upper()}"
    if origin == DOTENV:
        return f"BATCHER_{name.upper()} in .env"
    return origin or "default"


def _place_of_secret(giver: str, examined: Examined) -> str:
    """The file that holds the secret, and whether ``.env`` names it."""
    of = f" {examined.settings.server_secret_file}" if giver == "server_secret_file" else ""
    return of + (" in .env" if examined.origins.get(giver) == DOTENV else "")


def _value(name: str, settings: Settings) -> str | None:
    """The value of a setting as text, without secrets: those of URLs are left out, too."""
    value = getattr(settings, name)
    if value is None:
        return None
    if isinstance(value, SecretStr) or "secret" in name or "token" in name or "password" in name:
        return "set"
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    text = str(
        value.value if isinstance(value, Enum) else f"{value:g}" if isinstance(value, float) else value
    )
    if "://" in text:
        text = redacted_url(text) + ("?…" if "?" in text else "")
    return (
        "not shown" if may_be_secret(text) and not isinstance(value, Path) and name not in _PLACES else text
    )
