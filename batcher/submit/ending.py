"""The end of a run: which exit code and reason follow from what stopped it and from what the ledger holds.

Called by the runner once all workers have ended. Pure: needs no ledger and no clock. The precedence of exit
codes is a promise (:mod:`batcher.exit_codes`); ``tests/unit/submit/test_ending.py`` has a line for each case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batcher.exit_codes import PRECEDENCE, ExitCode
from batcher.flowcontrol.findings import CHECK_ENDPOINT, outage_text
from batcher.model.outcome import Outage, Settlement
from batcher.model.records import Tally
from batcher.model.submission import TROUBLED, Claim, RunId, State
from batcher.report.formatting import count
from batcher.submit.manifest_checks import LateManifests

_SIGNALS = (ExitCode.SIGINT, ExitCode.SIGTERM)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run: its exit code and the reason."""

    exit: ExitCode
    reason: str
    """Why, in words for the user."""
    run_id: RunId
    sent: int
    """Requests that may have left."""
    seconds: float
    unrecorded: tuple[Settlement, ...] = ()
    """Attempts whose result could not be written to the ledger."""
    outage: Outage | None = None
    """The endpoint did not answer when the run ended: that is why work is left."""
    cut_off: tuple[str, ...] = ()
    """Manifests that had not arrived when the time limit was reached."""
    unusable: bool = False
    """A manifest turned out unusable while it was loaded, also when another reason ended the run."""
    forgotten: tuple[Claim, ...] = ()
    """Attempts of the last minutes, when the ledger's server has lost some that it had confirmed."""


@dataclass(frozen=True, slots=True)
class LedgerAtEnd:
    """The contents of the ledger when a run ends."""

    tallies: Sequence[Tally] = ()
    unfinished: Sequence[str] = ()
    """Manifests that were not read to their ends."""
    reported_run: int = 0
    """The last run whose trouble is no longer new; 0 when there is none."""
    new_invalid_rows: int = 0
    """Invalid rows that no such run has reported."""

    @property
    def left(self) -> int:
        """The number of submissions that are still to be sent."""
        return sum(tally.n for tally in self.tallies if tally.state in (State.PENDING, State.SENDING))

    @property
    def new_trouble(self) -> int:
        """The number of submissions that were rejected, failed or are in doubt since that run."""
        return sum(
            tally.n
            for tally in self.tallies
            if tally.state in TROUBLED and (tally.run_id or 0) > self.reported_run
        )


class Conclusion(NamedTuple):
    """The exit code of a run and why."""

    exit: ExitCode
    reason: str
    outage: Outage | None = None
    """The outage that is why work is left."""


def ending_of(
    stops: Mapping[ExitCode, str],
    found: LedgerAtEnd | None,
    *,
    limit: int | None = None,
    outage: Outage | None = None,
    cut_off: LateManifests | None = None,
    elsewhere: int = 0,
) -> Conclusion:
    """Decide how a run ends.

    Args:
        stops: the first reason to stop for each exit code; ``WORK_LEFT`` is a stop on purpose.
        found: what the ledger holds; None when it cannot be read, and then ``LEDGER`` is among the stops.
        limit: the limit of submissions, when it was reached.
        outage: the outage that has not ended.
        cut_off: manifests that had not arrived when the time limit was reached.
        elsewhere: submissions that other runs of the ledger are still sending.
    """
    early = stops.get(ExitCode.WORK_LEFT) or (None if limit is None else f"stopped at the limit of {limit}")
    stopped = next((code for code in PRECEDENCE if code in stops and code != ExitCode.WORK_LEFT), None)
    if stopped is None:
        return _unstopped(found or LedgerAtEnd(), early, outage, cut_off, elsewhere)
    reason = stops[stopped]
    if found is not None and stopped in _SIGNALS and outage is not None:
        return Conclusion(stopped, _in_outage(reason, outage, found.left), outage)
    if found is not None and stopped is ExitCode.USAGE and found.left:
        why = early or "a manifest cannot be used"
        return Conclusion(ExitCode.WORK_LEFT, f"{why}; {_left(found.left)}. {reason}")
    return Conclusion(stopped, reason)


def _unstopped(
    found: LedgerAtEnd,
    early: str | None,
    outage: Outage | None,
    cut_off: LateManifests | None,
    elsewhere: int,
) -> Conclusion:
    """Decide how a run ends that nothing has stopped but a purpose: its limit, its time, its program."""
    left = found.left
    if cut_off is not None:
        return Conclusion(
            ExitCode.WORK_LEFT,
            f"{cut_off.reason}; {_left(left)}. Check why it is slow, then run again to resume",
        )
    if elsewhere and not early:  # the last run to leave reports the ledger as a whole
        reason = f"nothing is left for this run; others are still sending {elsewhere:,}"
        return Conclusion(ExitCode.DONE, reason)
    if left:
        why = early or "submissions were added as the run ended"
        if outage is not None:
            return Conclusion(ExitCode.WORK_LEFT, _in_outage(why, outage, left), outage)
        return Conclusion(ExitCode.WORK_LEFT, f"{why}; {_left(left)}")
    if found.unfinished:
        names = ", ".join(dict.fromkeys(found.unfinished))
        reason = f"not read to the end yet: {names}; run again with these manifests to resume"
        return Conclusion(ExitCode.WORK_LEFT, reason, outage)
    if found.new_trouble:
        return Conclusion(ExitCode.TROUBLE, "all submissions were sent; some need your attention")
    if found.new_invalid_rows:
        return Conclusion(ExitCode.TROUBLE, "all submissions were sent; some rows are invalid")
    return Conclusion(ExitCode.DONE, "nothing is left to send")


def _in_outage(why: str, outage: Outage, left: int) -> str:
    """Say why a run ended that waited for its endpoint, and what to do."""
    remedy = f"{CHECK_ENDPOINT[0].upper()}{CHECK_ENDPOINT[1:]}, then run again to resume"
    return f"{why} while {outage_text(outage)}; {_left(left)}. {remedy}"


def _left(n: int) -> str:
    return f"{count(n, 'submission')} left"
