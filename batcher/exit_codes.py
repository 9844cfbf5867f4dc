"""Exit codes: their numbers, their precedence, and the outcome of a run that each one means.

The only owner of these numbers: the runner, the tracker, the error tree and every command take them from
here. Scripts and crontabs are written against the numbers and the precedence; they must not change.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from pathlib import Path

TIME_OVER = "time limit reached"


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


class RunOutcome(StrEnum):
    """The end of a run in a word: one member for each exit code."""

    DONE = "done"
    """Everything was sent, and there is no new trouble."""
    TROUBLE = "trouble"
    """Everything was sent; some submissions were rejected, failed or are in doubt, or rows are invalid."""
    UNUSABLE = "unusable"
    """A manifest or a setting cannot be used."""
    HALTED = "halted"
    """The service refuses the account, or too many submissions failed."""
    WORK_LEFT = "work_left"
    """The run ended early on purpose, or a manifest was not read to its end."""
    LEDGER_BUSY = "ledger_busy"
    """Another run holds the ledger."""
    LEDGER_FAILED = "ledger_failed"
    """The ledger cannot be read or written."""
    DEFECT = "defect"
    """A fault of batcher itself."""
    INTERRUPTED = "interrupted"
    """SIGINT stopped the run."""
    TERMINATED = "terminated"
    """SIGTERM stopped the run."""

    @classmethod
    def of(cls, code: int) -> RunOutcome:
        """Return the outcome that an exit code means."""
        return _OUTCOMES[ExitCode(code)]


_OUTCOMES = {
    ExitCode.DONE: RunOutcome.DONE,
    ExitCode.TROUBLE: RunOutcome.TROUBLE,
    ExitCode.USAGE: RunOutcome.UNUSABLE,
    ExitCode.HALTED: RunOutcome.HALTED,
    ExitCode.WORK_LEFT: RunOutcome.WORK_LEFT,
    ExitCode.LEDGER_BUSY: RunOutcome.LEDGER_BUSY,
    ExitCode.LEDGER: RunOutcome.LEDGER_FAILED,
    ExitCode.DEFECT: RunOutcome.DEFECT,
    ExitCode.SIGINT: RunOutcome.INTERRUPTED,
    ExitCode.SIGTERM: RunOutcome.TERMINATED,
}

REPORTED = (ExitCode.DONE, ExitCode.TROUBLE)
"""After an end with one of these everything new has been reported: it is not new any more."""

PRECEDENCE = (
    *(ExitCode.DEFECT, ExitCode.LEDGER, ExitCode.HALTED, ExitCode.SIGINT, ExitCode.SIGTERM),
    *(ExitCode.WORK_LEFT, ExitCode.USAGE, ExitCode.TROUBLE, ExitCode.DONE),
)
"""Where several exit codes apply, the first of these wins."""


def heaviest(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the exit code that wins among several."""
    given = set(codes)
    return next(code for code in PRECEDENCE if code in given)


def defect(exc: Exception) -> str:
    """Describe an unexpected exception. Its own text may hold anything, and is left out."""
    return (
        f"a defect in batcher, {type(exc).__name__} at {line_of(exc)}: report it. "
        "Requests in flight are on record; run again to resume"
    )


def line_of(exc: Exception) -> str:
    """Return the line that raised an exception, ``worker.py:120``: the last one of batcher, else the last."""
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
