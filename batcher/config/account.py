"""The account and its secrets, read from the settings: an AppId, its ServerSecret, the secret of callbacks.

Called by every command that sends. A secret comes from a setting, a file or a command; no
message repeats it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from pydantic import SecretStr

from batcher.config.problems import DOTENV
from batcher.config.secrets import SERVER_SECRET, SecretKind, is_secret_word
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.files import absolute, exists, text_of
from batcher.model.account import QUOTATION_MARKS, in_quotes

SECRET_COMMAND_S = 30.0
"""The time limit for a command that prints a secret."""


def account_of(settings: Settings) -> tuple[int, str]:
    """Return the AppId and the ServerSecret.

    Raises:
        SettingsError: one of them is missing; the message names each that is.
    """
    missing = []
    if settings.app_id is None:
        dotenv = f"{absolute(DOTENV)} ({'read' if exists(DOTENV) else 'there is no such file'})"
        demo = "" if has_account(settings) else "; without an account, `batcher demo` shows a run"
        missing.append(
            "BATCHER_APP_ID: the AppId is missing; set it to the number the ZEGO console shows, in the "
            f"environment or in {dotenv}{demo}"
        )
    try:
        secret = secret_of(settings, SERVER_SECRET)
    except SettingsError as exc:
        raise SettingsError(*missing, *exc.lines) from None
    if settings.app_id is None:
        raise SettingsError(*missing)
    return settings.app_id, secret


def has_account(settings: Settings) -> bool:
    """Whether any part of an account is set; :func:`account_of` checks whether it is complete."""
    given = (settings.server_secret, settings.server_secret_file, settings.server_secret_command)
    return settings.app_id is not None or any(secret is not None for secret in given)


def secret_of(settings: Settings, what: SecretKind) -> str:
    """Return a secret as it was given.

    Raises:
        SettingsError: it is missing, or cannot be such a secret.
    """
    secret: SecretStr | None = getattr(settings, what.setting)
    if secret is not None:
        return secret.get_secret_value()
    if (path := getattr(settings, f"{what.setting}_file")) is not None:
        return _read_secret(path, what)
    if (command := getattr(settings, f"{what.setting}_command")) is not None:
        return _ask_for_secret(command, what)
    raise SettingsError(
        f"{what.variable}: {what.called} is missing; set it, or {what.variable}_FILE to a "
        f"file that holds it, or {what.variable}_COMMAND to a command that prints it"
    )


def _read_secret(path: Path, what: SecretKind) -> str:
    name = f"{what.variable}_FILE"
    try:
        secret = text_of(path).strip()
    except SettingsError as exc:
        word = str(path).strip(QUOTATION_MARKS)
        if (re.fullmatch(r"[0-9A-Za-z]{16,}", word) or is_secret_word(word)) and not exists(path):
            # The secret itself was put there: it is not shown.
            raise SettingsError(f"{name}: names a file; the secret itself is {what.variable}") from None
        raise SettingsError(f"{name}: {absolute(path)}: {exc}") from None
    if in_quotes(secret):
        raise SettingsError(f"{name}: {absolute(path)}: the secret in it is in quotation marks. Remove them")
    if len(secret.split()) != 1 or not secret.isascii() or not secret.isprintable():
        remedy = f"put one line with {what.called} in it"
        raise SettingsError(f"{name}: {absolute(path)}: {_amiss(secret)}{remedy}")
    return secret


def _amiss(text: str) -> str:
    """Return what is wrong with the text of a secret's file, without the text."""
    lines = len(text.splitlines())
    return "it is empty; " if not text else f"it holds {lines} lines; " if lines > 1 else ""


def _ask_for_secret(command: str, what: SecretKind) -> str:
    """Return the first line that a command prints; its output and its arguments are never shown."""
    name = f"{what.variable}_COMMAND"
    if os.environ.get(name) != command:
        raise SettingsError(
            f"{name}: set it in the environment itself. From a file it is not accepted, since a program that "
            "can write to the working directory could run commands with it"
        )
    try:
        words = shlex.split(command)
        done = subprocess.run(words, capture_output=True, timeout=SECRET_COMMAND_S, check=False)
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or "it is not a command that can be read"
        raise SettingsError(f"{name}: {why}") from None
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"{name}: it printed nothing for {SECRET_COMMAND_S:.0f} s. Run it by hand to see why"
        ) from None
    if done.returncode:
        raise SettingsError(f"{name}: it ended with exit code {done.returncode}. Run it by hand to see why")
    lines = done.stdout.decode("ascii", "replace").splitlines()
    try:
        return what.read(lines[0] if lines else "")
    except ValueError:
        raise SettingsError(f"{name}: its first line is not {what.line}") from None
