"""The command as a process in an environment of its own: fewer rights, another locale, limits."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.cli import Cli, Done

SETPRIV = shutil.which("setpriv")

needs_rights_taken = pytest.mark.skipif(
    os.geteuid() == 0 and SETPRIV is None, reason="root may read everything, and setpriv is missing"
)
"""For tests of folders that must not be searched."""


def without_roots_rights() -> list[str]:
    """What to put before a command so that permissions apply to it, too."""
    if os.geteuid() != 0 or SETPRIV is None:
        return []
    return [SETPRIV, "--bounding-set=-dac_override,-dac_read_search"]


async def in_environment(
    cli: Cli,
    args: Sequence[str | bytes | Path],
    *,
    env: Mapping[str, str] | None = None,
    limits: str = "",
    redirected: str = "",
    stdin: bytes = b"",
) -> Done:
    """Run the command by a shell, as users without root's rights do; arguments may be bytes of any kind.

    Args:
        cli: its folder and its variables.
        args: of the command.
        env: variables besides.
        limits: of the shell, such as ``ulimit -n 64``.
        redirected: the streams, as a shell takes them.
        stdin: what it reads.
    """
    command = [*without_roots_rights(), sys.executable, "-m", "batcher", *args]
    words = " ".join(shlex.quote(os.fsdecode(arg)) for arg in command)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{limits or ':'}; exec {words} {redirected}"),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), cli.deadline_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    done = Done(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    assert "Traceback" not in done.stderr, done.stderr
    assert "defect" not in done.stderr, done.stderr
    assert cli.secret not in done.stdout + done.stderr
    return done
