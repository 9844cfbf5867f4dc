"""Errors, one class for each thing that the caller may do next.

Raised by every package; the command line turns them into messages and exit codes. The names that
:mod:`batcher` exports are promised, and a new class needs a line in the tree::

    BatcherError
    ├── SettingsError        an option, a variable, a parameter or the configuration is wrong: correct it
    ├── ManifestError        a manifest cannot be used as a whole (an invalid row is a value, not an error)
    ├── BindingError         the ledger belongs to another AppId or kind of endpoint
    ├── LedgerBusy           another run holds the ledger: wait for it
    │   └── LimitBusy        another run on this machine uses the limit of the AppId: wait for it
    ├── Refused              the service refuses the account, or a query on every try: correct that
    ├── UnreadableCallback   a body is not a callback: refuse it
    ├── FolderError          pictures cannot be written: correct that, run again to resume
    ├── UnseenRequest        the HTTP library sends requests that cannot be followed: a defect; stop sending
    ├── Interrupted          a signal came before there was anything to drain: exit with its code
    ├── RunError             from raise_for_outcome(): a run is not done; its outcome says why
    │   ├── RunTroubled      everything was sent, with trouble: check the results
    │   ├── RunIncomplete    work is left: run again
    │   └── RunHalted        the service refuses the account, or too much failed: correct that, run again
    ├── StdoutClosed         the reader of stdout has closed it: end quietly
    ├── StdoutError          stdout cannot be written
    ├── SystemFault          the system refuses something: a full disk, missing rights, no descriptors left
    └── LedgerError          the ledger cannot be read or written: stop sending
        ├── LedgerMissing    there is no ledger at that path
        ├── NotALedger       the file is something else
        ├── LedgerTooNew     a newer batcher has written it
        ├── LedgerLocked     another program has locked the file: try again once it is released
        └── IllegalMove      a record contradicts the ledger: a defect

The outcome of a request is not an error but a value, an ``Outcome`` of :mod:`batcher.model.outcome`: every
outcome is expected, recorded and judged. Misuse of the library, such as a closed ledger or two runs of one
``Ledger`` at the same time, is a ``RuntimeError``.
"""

from __future__ import annotations

from batcher.exit_codes import ExitCode, RunOutcome


class BatcherError(Exception):
    """The root of all errors of batcher. Its text says what happened, where, and what to do.

    Each argument is one line of the text. Foreign words in it (the name of a file, an answer) may hold line
    ends, which do not begin a new line of the text.

    Attributes:
        exit_code: the exit code of a command that fails with it.
    """

    exit_code: int = ExitCode.USAGE

    @property
    def lines(self) -> tuple[str, ...]:
        """The text, line by line."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class SettingsError(BatcherError):
    """One or more settings are wrong; the text names all of them."""


class ManifestError(BatcherError):
    """A manifest cannot be used, or not beyond some row."""


class BindingError(BatcherError):
    """The ledger is bound to another AppId or another kind of endpoint."""


class LedgerBusy(BatcherError):
    """Another process holds the ledger's lock."""

    exit_code = ExitCode.LEDGER_BUSY


class LimitBusy(LedgerBusy):
    """A run on another ledger of this machine uses the limit of the AppId."""


class Refused(BatcherError):
    """The service refuses to answer, and would refuse again."""

    exit_code = ExitCode.HALTED


class UnreadableCallback(BatcherError):
    """The body of a request is not a callback."""


class FolderError(BatcherError):
    """The folder for pictures cannot be written."""

    exit_code = ExitCode.LEDGER


class UnseenRequest(BatcherError):
    """The HTTP library sends requests in a way that batcher cannot follow: a defect."""

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
    """A run is not done. Raised by ``raise_for_outcome()`` of its summary.

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
    """The reader of stdout has closed it."""

    exit_code = ExitCode.DONE


class StdoutError(BatcherError):
    """stdout cannot be written."""

    exit_code = ExitCode.LEDGER


class SystemFault(BatcherError):
    """The operating system refuses something; batcher has no defect."""

    exit_code = ExitCode.LEDGER


class LedgerError(BatcherError):
    """The ledger cannot be read or written."""

    exit_code = ExitCode.LEDGER


class LedgerMissing(LedgerError):
    """There is no ledger at the given path."""


class NotALedger(LedgerError):
    """The file exists and is not a ledger."""


class LedgerTooNew(LedgerError):
    """The schema of the ledger is newer than this version of batcher."""


class LedgerLocked(LedgerError):
    """Another program has locked the file of the ledger for longer than a statement waits."""


class LedgerUnreachable(LedgerError):
    """The server of a ledger cannot be reached, or has ended the connection; another try may succeed."""


class LedgerForgotten(LedgerError):
    """The server of a ledger has lost transactions that it had confirmed."""


class IllegalMove(LedgerError):
    """A record contradicts the ledger, and was not written."""
