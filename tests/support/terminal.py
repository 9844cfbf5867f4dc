"""A terminal of 80 columns, and the content of its screen."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

from support.cli import DEADLINE_S, Cli

ROOT = Path(__file__).parents[2]

CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Terminal:
    """A command on a terminal of its own.

    Attributes:
        text: all that was written so far, with its controls.
    """

    def __init__(self, cli: Cli, args: Sequence[str | Path], columns: int, env: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = {name: value for name, value in cli.env.items() if name != "COLUMNS"}
        self.text = ""
        self._ours = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batcher", *map(str, args)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cli.folder,
            env={**environment, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **env},
            start_new_session=True,
        )
        os.close(theirs)

    def read(self, until: str = "") -> None:
        """Read until a text comes; without one, until the end."""
        seen, late = self.text.encode(), time.monotonic() + DEADLINE_S
        while not until or until not in self.text:
            ready, _, _ = select.select([self._ours], [], [], max(late - time.monotonic(), 0))
            assert ready, f"{until!r} did not come: {self.text}"
            try:
                fresh = os.read(self._ours, 65536)
            except OSError as exc:
                if exc.errno != errno.EIO:  # so a terminal ends whose last user has gone
                    raise
                fresh = b""
            if not fresh:
                assert not until, f"{until!r} did not come: {self.text}"
                return
            seen += fresh
            self.text = seen.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read all, and the exit code."""
        try:
            self.read()
            return self._process.wait(DEADLINE_S)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        """The output, without its controls."""
        return CONTROL.sub("", self.text).split("\n")

    @property
    def colours(self) -> set[str]:
        """The parameters of the colours and weights that letters had."""
        return {one for given, kind in CONTROL.findall(self.text) if kind == "m" for one in given.split(";")}


def too_wide(lines: Sequence[str], columns: int) -> list[str]:
    """Lines that a terminal would break; the place of the test's own folder and ledger does not count."""
    return [line for line in lines if cell_len(OWN_LEDGER.sub("", OWN_FOLDER.sub("", line))) > columns]


async def shown(cli: Cli, *args: str | Path, columns: int = 80, **env: str) -> tuple[int, Terminal]:
    """A command on a terminal, to its end."""
    terminal = Terminal(cli, args, columns, env)
    return await asyncio.to_thread(terminal.end), terminal


OWN_FOLDER = re.compile(r"/\S*/pytest-\d+/(?:popen-gw\d+/)?[^/\s]+")
"""The folder of a test, which is long."""

OWN_LEDGER = re.compile(r"'?postgresql://\S+")
"""A ledger of a test in PostgreSQL, which is long too."""
