"""Calls of the library by a command: the account, and messages that name its options.

Called by the commands. The library names its parameters in messages; the messages of a command must name its
options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batcher.errors import SettingsError

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console
    from batcher.config.settings import Settings
    from batcher.model.account import Account


def account_for(settings: Settings, console: Console) -> Account:
    """Return the account of the settings; the console redacts its secret from here on.

    Raises:
        SettingsError: the AppId or the ServerSecret is missing.
    """
    from batcher.config.account import account_of
    from batcher.model.account import Account

    app_id, secret = account_of(settings)
    console.redaction.learn(secret)
    return Account(app_id, secret, settings.is_test)


@contextmanager
def named_options(options: Mapping[str, str]) -> Iterator[None]:
    """Replace parameters by options in the messages of settings that the library refuses.

    Args:
        options: the option of each parameter; a message begins with its parameter.
    """
    try:
        yield
    except SettingsError as exc:
        exc.args = tuple(_renamed(line, options) for line in exc.lines)
        raise


def _renamed(line: str, options: Mapping[str, str]) -> str:
    begin = re.match(r"\w+(?=[: ])", line)
    if begin is None or begin[0] not in options:
        return line
    return options[begin[0]] + line[begin.end() :]
