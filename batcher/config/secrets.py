"""Secrets: their names, and where each is read from."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from batcher.model.account import QUOTATION_MARKS as QUOTATION_MARKS
from batcher.model.account import in_quotes as in_quotes
from batcher.model.account import secret_of as secret_of
from batcher.model.account import word_of

SECRETS = {
    "server_secret": "the ServerSecret",
    "callback_secret": "the secret of callbacks",
    "notify": "a URL that carries tokens",
    "ping_url": "a URL that is a secret",
}
"""Settings whose values are never shown, and never stand in the file of settings."""


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
    return word_of(text, "the secret of callbacks is letters and digits, without blanks")


_CALLBACK = _Secret(
    "callback_secret", "the secret of callbacks", "one of letters and digits", _callback_secret_of
)
"""The console shows it beside the ServerSecret, which it is not."""


LEAST_SECRET = 20
"""Letters and digits in one piece, both of them: so many may be a secret, which has 32."""


_PIECES = re.compile(rf"[0-9A-Za-z]{{{LEAST_SECRET},}}")


def may_be_secret(text: str) -> bool:
    """Whether a value that was given for something else may be a secret, put in the wrong place."""
    return any(not piece.isdigit() and not piece.isalpha() for piece in _PIECES.findall(text))
