"""Secrets: their names, the settings that give them, and how a text that may be one is recognized.

Used by the settings, by the account, and by messages that must not repeat a secret given in the wrong place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from batcher.model.account import SECRET_RULE, word_of

if TYPE_CHECKING:
    from pydantic import SecretStr

SECRETS = {
    "server_secret": "the ServerSecret",
    "callback_secret": "the secret of callbacks",
    "notify": "a URL that carries tokens",
    "ping_url": "a URL that is a secret",
}
"""Settings whose values are never shown, and are not accepted in the file of settings."""

LEAST_SECRET = 20
"""A piece of this many letters and digits, with both of them, may be a secret, which has 32."""

_PIECES = re.compile(rf"[0-9A-Za-z]{{{LEAST_SECRET},}}")


class SecretKind(NamedTuple):
    """A secret: the setting that gives it, and what it looks like."""

    setting: str
    called: str
    line: str
    """The line that a command must print."""
    rule: str
    """The form of every such secret; the message for a text of another form."""

    @property
    def variable(self) -> str:
        """The variable that holds it."""
        return f"BATCHER_{self.setting.upper()}"

    def read(self, text: str) -> str:
        """Return the secret in a text; blanks around it do not count.

        Raises:
            ValueError: the text cannot be such a secret.
        """
        return word_of(text, self.rule)

    def checked(self, secret: SecretStr | None) -> SecretStr | None:
        """Return a secret of the settings, checked."""
        return None if secret is None else type(secret)(self.read(secret.get_secret_value()))


SERVER_SECRET = SecretKind(
    "server_secret",
    "the ServerSecret",
    "a ServerSecret, 32 letters and digits",
    SECRET_RULE,
)
CALLBACK_SECRET = SecretKind(
    "callback_secret",
    "the secret of callbacks",
    "a secret of letters and digits",
    "the secret of callbacks is letters and digits, without blanks",
)
"""The ZEGO console shows it next to the ServerSecret; they are different secrets."""


def may_be_secret(text: str) -> bool:
    """Whether a value given for another setting may be a secret in the wrong place."""
    return any(not piece.isdigit() and not piece.isalpha() for piece in _PIECES.findall(text))


def is_secret_word(word: str) -> bool:
    """Whether a path may be the secret itself: it names no folder, and looks like a secret."""
    return "/" not in word and may_be_secret(word)
