"""The summary of a fetch: the figures, and the same as text and as JSON. Pure.

Made by ``api/fetch``; the command ``fetch`` prints it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batcher.exit_codes import ExitCode
from batcher.model.events import PictureNotFetched
from batcher.model.ledger_name import LedgerName
from batcher.model.task import PictureState
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import at_least_a_second, count, paragraph, sentence, size


@dataclass(frozen=True, slots=True)
class FetchSummary:
    """The result of a fetch."""

    ledger: LedgerName
    folder: Path
    seconds: float
    fetched: Mapping[PictureState, int]
    """Pictures that this fetch has kept, by state."""
    given_up: Mapping[PictureState, int]
    """Pictures that this fetch has given up, by state."""
    totals: Mapping[PictureState | None, int]
    """All pictures of the ledger by state; None for those not fetched yet."""
    given_up_before: int = 0
    """Pictures that earlier fetches have given up and reported."""
    left: int = 0
    """Pictures that were tried and are left for a later fetch."""
    more: bool = False
    """Whether pictures were not tried, because the limit was reached."""
    in_place: int = 0
    """Pictures that were fetched before and still have their files."""
    n_bytes: int = 0
    silent_servers: Mapping[str, str] = field(default_factory=dict)
    """Servers that answered no request, with the last failure of each."""
    examples: tuple[PictureNotFetched, ...] = ()
    """Some of the pictures that this fetch has given up."""
    cancelled: bool = False
    retriable: int = 0
    """All pictures given up that ``--again`` may bring: not refused, and not gone for good."""

    @property
    def n_fetched(self) -> int:
        """Pictures that this fetch has kept."""
        return sum(self.fetched.values())

    @property
    def n_given_up(self) -> int:
        """Pictures that this fetch has given up."""
        return sum(self.given_up.values())

    @property
    def exit_code(self) -> ExitCode:
        """The exit code; a command that was stopped by a signal has the signal's instead."""
        if self.cancelled or self.left or self.more:
            return ExitCode.WORK_LEFT
        return ExitCode.TROUBLE if self.n_given_up else ExitCode.DONE

    @property
    def reason(self) -> str:
        """Why the fetch has ended, in one line."""
        if self.cancelled:
            return "stopped by a signal; run the same command again to resume"
        if self.silent_servers:
            return "a server does not answer; run the same command again later"
        if self.more:
            return "limit reached; run the same command again to resume"
        if self.left:
            return "some pictures could not be fetched now; run the same command again later"
        if self.n_given_up:
            return "some pictures cannot be fetched; all others are there"
        return "nothing is left to fetch" if self.given_up_before else "all pictures are fetched"


def fetch_lines(summary: FetchSummary, index: Path, width: int) -> list[str]:
    """Return the closing lines.

    Args:
        summary: the result.
        index: the file that lists all pictures.
        width: columns of a line.
    """
    lines = [sentence(summary.reason)]
    if summary.n_fetched or not (summary.n_given_up or summary.left):
        lines.append(_fetched_line(summary))
    if summary.left:
        lines.append(f"  {count(summary.left, 'picture')} left for a later fetch")
    lines += [f"  {server} did not answer ({why})" for server, why in summary.silent_servers.items()]
    if summary.n_given_up:
        states = ", ".join(_by_state(summary.given_up))
        lines.append(f"  {count(summary.n_given_up, 'picture')} given up: {states}; for example")
        lines += [paragraph("", example.words, width=width, indent=4, hang=2) for example in summary.examples]
    if summary.given_up_before:
        lines.append(f"  {count(summary.given_up_before, 'picture')} given up before")
    if summary.n_given_up or summary.given_up_before:
        lines.append(f"  {index} lists all pictures that were fetched or given up")
    return lines


def fetch_steps(summary: FetchSummary) -> list[tuple[str, str]]:
    """Return the commands to go on with, each with its purpose."""
    ledger, folder = ledger_option(str(summary.ledger)), shlex.quote(str(summary.folder))
    fetch, steps = f"batcher fetch{ledger} -o {folder}", []
    if summary.cancelled or summary.left or summary.more:
        steps.append((fetch, "to resume"))
    if summary.retriable:
        steps.append((f"{fetch} --again", "to try again"))
    if any(summary.totals[state] for state in summary.fetched):
        steps.append((f"batcher report{ledger} -o report.html --pictures {folder}", "for a report"))
    return [*steps, (f"batcher export{ledger} -o results.csv", "for results")]


def _fetched_line(summary: FetchSummary) -> str:
    line = f"  {count(summary.n_fetched, 'picture')} fetched into {summary.folder}"
    if summary.n_fetched:
        took = at_least_a_second(summary.seconds)
        line += f" ({size(summary.n_bytes)} in {took}): {', '.join(_by_state(summary.fetched))}"
    return line + (f"; {summary.in_place:,} already there" if summary.in_place else "")


def _by_state(numbers: Mapping[PictureState, int]) -> list[str]:
    return [f"{numbers[state]:,} {state.value}" for state in PictureState if numbers.get(state)]


def fetch_json(summary: FetchSummary, exit_code: int) -> dict[str, object]:
    """Return the object of ``fetch --json``.

    Args:
        summary: the result.
        exit_code: the exit code of the command.
    """
    ended = {**summary.fetched, **summary.given_up}
    return {
        "ledger": str(summary.ledger),
        "folder": str(summary.folder),
        "exit_code": int(exit_code),
        "reason": summary.reason,
        "fetched": summary.n_fetched,
        **{state.value: ended.get(state, 0) for state in PictureState},
        "left": summary.left,
        "more": summary.more,
        "in_place": summary.in_place,
        "bytes": summary.n_bytes,
        "seconds": round(summary.seconds, 3),
        "silent_servers": sorted(summary.silent_servers),
        "pictures": {
            "total": sum(summary.totals.values()),
            "unfetched": summary.totals[None],
            **{state.value: summary.totals[state] for state in PictureState},
        },
    }
