"""The account: an AppId and its ServerSecret, out of the settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from pydantic import SecretStr

from batcher.config.secrets import (
    CALLBACK_SECRET,
    QUOTATION_MARKS,
    SERVER_SECRET,
    SecretKind,
    in_quotes,
    is_secret_word,
)
from batcher.config.settings import Settings
from batcher.errors import SettingsError

SECRET_COMMAND_S = 30.0
"""How long a command may take to print the ServerSecret."""


def account_of(settings: Settings) -> tuple[int, str]:
    """The AppId and the ServerSecret.

    Raises:
        SettingsError: one of them is missing; both are named when both are.
    """
    problems = []
    if settings.app_id is None:
        problems.append("BATCHER_APP_ID: the AppId is missing; set it to the number the ZEGO console shows")
    secret, problem = _given_secret(settings, SERVER_SECRET)
    problems += [problem] if problem else []
    if problems or settings.app_id is None or secret is None:
        raise SettingsError(*problems)
    return settings.app_id, secret


def has_account(settings: Settings) -> bool:
    """Whether anything of an account is set; if so, :func:`account_of` says whether it is enough."""
    given = (settings.server_secret, settings.server_secret_file, settings.server_secret_command)
    return settings.app_id is not None or any(one is not None for one in given)


def callback_secret_of(settings: Settings) -> str:
    """The secret that callbacks are signed with.

    Raises:
        SettingsError: it is missing, or cannot be one.
    """
    secret, problem = _given_secret(settings, CALLBACK_SECRET)
    if secret is None:
        raise SettingsError(problem or "")
    return secret


def _given_secret(settings: Settings, what: SecretKind) -> tuple[str | None, str | None]:
    """A secret as it was given, or why there is none."""
    secret: SecretStr | None = getattr(settings, what.setting)
    if secret is not None:
        return secret.get_secret_value(), None
    if (path := getattr(settings, f"{what.setting}_file")) is not None:
        return _read_secret(path, what)
    if (command := getattr(settings, f"{what.setting}_command")) is not None:
        return _ask_for_secret(command, what)
    return None, (
        f"{what.variable}: {what.called} is missing; set it, or {what.variable}_FILE to a "
        f"file that holds it, or {what.variable}_COMMAND to a command that prints it"
    )


def _read_secret(path: Path, what: SecretKind) -> tuple[str | None, str | None]:
    name = f"{what.variable}_FILE"
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        words = exc.strerror if isinstance(exc, OSError) else "it is not plain text"
        word = str(path).strip(QUOTATION_MARKS)
        if (re.fullmatch(r"[0-9A-Za-z]{16,}", word) or is_secret_word(word)) and not path.exists():
            # Somebody has put the secret itself there: it is not shown.
            return None, f"{name}: names a file; the secret itself is {what.variable}"
        return None, f"{name}: {path}: {words}"
    if in_quotes(secret):
        return None, f"{name}: {path}: the secret in it is in quotation marks; take them away"
    if not secret or len(secret.split()) != 1 or not secret.isprintable():
        return None, f"{name}: {path}: one line with {what.called} is expected"
    return secret, None


def _ask_for_secret(command: str, what: SecretKind) -> tuple[str | None, str | None]:
    """The first line that a command prints; no word of what it prints or is called with is shown."""
    name = f"{what.variable}_COMMAND"
    if os.environ.get(name) != command:
        return None, (
            f"{name}: is taken from the environment itself only, since whoever can write the working "
            "directory's files could run commands by it"
        )
    try:
        words = shlex.split(command)
        done = subprocess.run(words, capture_output=True, timeout=SECRET_COMMAND_S, check=False)
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or "it cannot be read as a command"
        return None, f"{name}: {why}"
    except subprocess.TimeoutExpired:
        return None, f"{name}: it has printed nothing for {SECRET_COMMAND_S:.0f} s"
    if done.returncode:
        return None, f"{name}: it ended with exit code {done.returncode}; run it by hand to see why"
    lines = done.stdout.decode("ascii", "replace").splitlines()
    try:
        return what.read(lines[0] if lines else ""), None
    except ValueError:
        return None, f"{name}: its first line is not {what.line}"
