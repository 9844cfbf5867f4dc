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
    SIGINT = 130
    SIGTERM = 143


_PRECEDENCE = (ExitCode.LEDGER, ExitCode.HALTED, ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.USAGE)
"""Why a run stopped early, weightiest first."""


def defect(exc: Exception) -> str:
    """What is said of an exception that nobody expected; its own text may hold anything, and is left out."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return (
        f"a defect in batcher, {type(exc).__name__} at {Path(frame.filename).name} line {frame.lineno}: "
        "report it. What was on the wire is on record; run again to go on"
    )


def heaviest(codes: Iterable[ExitCode]) -> ExitCode:
    """Which of several exit codes holds."""
    given = set(codes)
    return next(code for code in PRECEDENCE if code in given)


PRECEDENCE = (
    ExitCode.LEDGER,
    ExitCode.HALTED,
    ExitCode.SIGINT,
    ExitCode.SIGTERM,
    ExitCode.WORK_LEFT,
    ExitCode.USAGE,
    ExitCode.TROUBLE,
    ExitCode.DONE,
)
"""As exit codes are promised, weightiest first."""
