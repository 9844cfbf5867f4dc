"""The account: an AppId and its ServerSecret. Made by the command line and programs, used by the client."""

from __future__ import annotations

from dataclasses import dataclass, field

from batcher.errors import SettingsError

QUOTATION_MARKS = "\"'`"

MAX_APP_ID = 2**32 - 1

SECRET_RULE = "the ServerSecret is 32 letters and digits, without blanks"  # noqa: S105 - words for a message


def in_quotes(text: str) -> bool:
    """Whether a value still has the quotation marks that a shell or a file would have taken off."""
    stripped = text.strip()
    return bool(stripped) and (stripped[0] in QUOTATION_MARKS or stripped[-1] in QUOTATION_MARKS)


def word_of(text: str, expected: str) -> str:
    """Read a secret of one word; blanks around it do not count.

    Args:
        text: as it was given.
        expected: the message when it is not a word.

    Raises:
        ValueError: it cannot be one.
    """
    stripped = text.strip()
    if in_quotes(stripped):
        raise ValueError("the value is in quotation marks, which are not part of it; remove them")
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped or not stripped:
        raise ValueError(expected)
    return stripped


@dataclass(frozen=True, slots=True)
class Account:
    """The account that calls are made for.

    Raises:
        SettingsError: AppId or ServerSecret cannot be used; the secret is not shown.
    """

    app_id: int
    server_secret: str = field(repr=False)
    is_test: bool | None = None
    """Sent as ``IsTest``; None leaves it out."""

    def __post_init__(self) -> None:
        problems = []
        if type(self.app_id) is not int or not 0 < self.app_id <= MAX_APP_ID:
            problems.append("app_id: give the number that the ZEGO console shows")
        try:
            object.__setattr__(self, "server_secret", word_of(self.server_secret, SECRET_RULE))
        except ValueError as exc:
            problems.append(f"server_secret: {exc}")
        if problems:
            raise SettingsError(*problems)
