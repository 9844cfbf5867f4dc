"""Secrets: their names, and where each is read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SECRETS = {
    "server_secret": "the ServerSecret",
    "callback_secret": "the secret of callbacks",
    "notify": "a URL that carries tokens",
    "ping_url": "a URL that is a secret",
}
"""Settings whose values are never shown, and never stand in the file of settings."""


def secret_of(text: str) -> str:
    """Read a ServerSecret; blanks around it do not count.

    Raises:
        ValueError: it cannot be one.
    """
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped or not stripped:
        raise ValueError("the ServerSecret is 32 letters and digits, without blanks")
    return stripped


# -- secrets ------------------------------------------------------------------------------------------


class _Secret(NamedTuple):
    """A secret: by which settings it is given, and what it is."""

    setting: str
    called: str
    one: str
    """What a line is that holds it."""
    read: Callable[[str], str]

    @property
    def variable(self) -> str:
        """The variable that holds it."""
        return f"BATCHER_{self.setting.upper()}"


_SERVER = _Secret("server_secret", "the ServerSecret", "a ServerSecret, 32 letters and digits", secret_of)


def _callback_secret_of(text: str) -> str:
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped or not stripped:
        raise ValueError("the secret of callbacks is letters and digits, without blanks")
    return stripped


_CALLBACK = _Secret(
    "callback_secret", "the secret of callbacks", "one of letters and digits", _callback_secret_of
)
"""The console shows it beside the ServerSecret, which it is not."""
