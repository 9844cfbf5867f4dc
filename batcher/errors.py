"""What can go wrong, cut by what the caller may do next.

::

    BatcherError
    ├── SettingsError        a flag, a variable or a file of settings is wrong: correct it, run again
    ├── ManifestError        a manifest cannot be used (as a whole; a bad row is a value, not an error)
    ├── BindingError         the ledger belongs to another AppId or kind of endpoint
    ├── LedgerBusy           another run holds the ledger: wait for it
    │   └── LimitBusy        another run on this machine uses the limit of the AppId: wait for it
    ├── Refused              the service refuses us as a whole, or a question however often it is asked
    ├── UnreadableCallback   a body that is no callback: refuse it
    ├── FolderError          pictures cannot be kept: correct that, run again; the ledger knows the rest
    ├── UnseenRequest        the HTTP library sends requests unseen: nothing may be sent any more; a defect
    ├── Interrupted          a signal ended the waiting for the ledger: end as it says
    ├── RunError             raise_for_outcome(): a run did not end as wanted; its outcome says how
    │   ├── RunTroubled      everything was sent, with trouble: look at the results
    │   ├── RunIncomplete    work is left: run again
    │   └── RunHalted        the service refuses the account, or too much failed: correct that, run again
    ├── StdoutClosed         nobody reads stdout any more: end quietly
    ├── StdoutError          stdout cannot be written
    ├── SystemFault          the machine refuses something: a full disk, missing rights, no descriptors left
    └── LedgerError          the ledger cannot be read or written: nothing may be sent any more
        ├── LedgerMissing    there is none at that place
        ├── NotALedger       the file there is something else
        ├── LedgerTooNew     a newer batcher has written it
        ├── LedgerLocked     another program has locked the file: try again once it has let go
        └── IllegalMove      what was to be recorded contradicts what is on record: a defect of ours

What the service or the network answers to a request is no error here but a value, an
``Outcome`` of :mod:`batcher.model.outcome`: every one of them is expected, recorded and judged.
"""

from __future__ import annotations

from batcher.exit_codes import ExitCode, RunOutcome


class BatcherError(Exception):
    """Root of everything batcher raises on purpose; its text says what, where and what to do.

    Each argument is one line of the text. Others' words in it (a file's name, an answer) may hold ends of
    lines of their own, which are no lines of ours.

    Attributes:
        exit_code: with which a command ends that meets it.
    """

    exit_code: int = ExitCode.USAGE

    @property
    def lines(self) -> tuple[str, ...]:
        """The text, line by line."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class SettingsError(BatcherError):
    """One or more settings are wrong; all of them are named in the text."""


class ManifestError(BatcherError):
    """A manifest cannot be used at all, or not any further."""


class BindingError(BatcherError):
    """The ledger is bound to another AppId or another kind of endpoint."""


class LedgerBusy(BatcherError):
    """Another process holds the ledger's lock."""

    exit_code = ExitCode.LEDGER_BUSY


class LimitBusy(LedgerBusy):
    """Another run on this machine, on another ledger, uses the limit of the AppId."""


class Refused(BatcherError):
    """The service refuses to answer, and would refuse again."""

    exit_code = ExitCode.HALTED


class UnreadableCallback(BatcherError):
    """What was sent to us as a callback is none."""


class FolderError(BatcherError):
    """The folder that pictures are kept in cannot be written."""

    exit_code = ExitCode.LEDGER


class UnseenRequest(BatcherError):
    """The HTTP library sends requests in a way that cannot be followed: a defect."""

    exit_code = ExitCode.DEFECT


class Interrupted(BatcherError):
    """A signal came before there was anything to drain.

    Attributes:
        exit_code: 128 and the signal's number.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class RunError(BatcherError):
    """A run did not end as its program wanted; raised by ``raise_for_outcome()`` of its summary.

    Raised as itself when a manifest or the ledger could not be used, or for a defect of batcher.

    Attributes:
        outcome: how the run ended.
    """

    def __init__(self, text: str, outcome: RunOutcome, exit_code: int) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.exit_code = exit_code


class RunTroubled(RunError):
    """Everything was sent; submissions were rejected, failed or are in doubt, or rows are invalid."""


class RunIncomplete(RunError):
    """Work is left: the run ended early on purpose or by a signal, or a manifest was not read to its end."""


class RunHalted(RunError):
    """The run stopped sending: the service refuses the account, or too many submissions failed."""


class StdoutClosed(BatcherError):
    """The reader of stdout has gone: it has what it wanted."""

    exit_code = ExitCode.DONE


class StdoutError(BatcherError):
    """stdout cannot be written."""

    exit_code = ExitCode.LEDGER


class SystemFault(BatcherError):
    """The operating system refuses something, which is no defect of ours."""

    exit_code = ExitCode.LEDGER


class LedgerError(BatcherError):
    """The ledger cannot be read or written."""

    exit_code = ExitCode.LEDGER


class LedgerMissing(LedgerError):
    """There is no ledger at the place named."""


class NotALedger(LedgerError):
    """The file exists and is not one of our ledgers."""


class LedgerTooNew(LedgerError):
    """The ledger's schema is newer than this program knows."""


class LedgerLocked(LedgerError):
    """Another program has locked the ledger's file for longer than a statement waits."""


class IllegalMove(LedgerError):
    """What was to be recorded contradicts what is on record; nothing of it was."""
