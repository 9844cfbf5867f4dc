"""Messages of the library in the words of the command line.

Called by the commands. The library names its parameters in messages; the messages of a command must name its
options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batcher.errors import SettingsError


@contextmanager
def named_options(options: Mapping[str, str]) -> Iterator[None]:
    """Replace parameters by options in the messages of settings that the library refuses.

    Args:
        options: the option of each parameter; a message begins with its parameters.
    """
    try:
        yield
    except SettingsError as exc:
        exc.args = tuple(_renamed(line, options) for line in exc.lines)
        raise


def _renamed(line: str, options: Mapping[str, str]) -> str:
    begin = re.match(r"\w+(?:, \w+)*(?=[: ])", line)
    if begin is None or not options.keys() >= set(names := begin[0].split(", ")):
        return line
    return ", ".join(options[name] for name in names) + line[begin.end() :]
