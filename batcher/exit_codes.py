"""Exit codes, and which one wins when several hold."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

TIME_OVER = "its time was over"


class ExitCode(IntEnum):
    """Exit codes, as they are promised."""

    DONE = 0
    TROUBLE = 1
    USAGE = 2
    HALTED = 3
    WORK_LEFT = 4
    LEDGER_BUSY = 5
    LEDGER = 6
    DEFECT = 70
    SIGINT = 130
    SIGTERM = 143


def defect(exc: Exception) -> str:
    """The words for an exception that nothing expects; its own text may hold anything, and is left out."""
    return (
        f"a defect in batcher, {type(exc).__name__} at {line_of(exc)}: report it. "
        "What was on the wire is on record; run again to go on"
    )


def heaviest(codes: Iterable[ExitCode]) -> ExitCode:
    """Which of several exit codes holds."""
    given = set(codes)
    return next(code for code in PRECEDENCE if code in given)


PRECEDENCE = (
    *(ExitCode.DEFECT, ExitCode.LEDGER, ExitCode.HALTED, ExitCode.SIGINT, ExitCode.SIGTERM),
    *(ExitCode.WORK_LEFT, ExitCode.USAGE, ExitCode.TROUBLE, ExitCode.DONE),
)
"""Which exit code holds where several do: the first of them."""


def line_of(exc: Exception) -> str:
    """The line that an exception came from, ``worker.py:120``: the last one of ours, else the last."""
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
