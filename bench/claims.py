"""The speed of the last of a million claims, compared with the first.

Two ledgers of 1,000,000 submissions: one fresh, one with all but the last 5,000 submitted. A run at full
speed sends 5,000 of each; the first thousand are its warming up, the figure is the pace of the others by the
server's log. What differs between the two is where in the ledger they are, and how much is behind them.

    python -m bench.claims [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import nginx
from bench.archive import Archive
from bench.figures import show
from bench.measuring import Effort, Row, Skipped, ratios, take_turns
from bench.nginx import Nginx
from bench.running import going

ROWS = 1_000_000
SENT = 5_000
WARM_UP = 1_000


def figure(effort: Effort, made: Archive) -> Iterator[Row | Skipped]:
    """Requests per second at either end, and their ratio."""
    if why := nginx.why_not():
        yield Skipped("claims", why)
        return
    rows = effort.rows(ROWS, least=2 * SENT)
    with nginx.serving(made.folder) as server:
        taken = take_turns(
            {
                "last": lambda: _per_s(made, server, rows, rows - SENT),
                "first": lambda: _per_s(made, server, rows, 0),
            },
            effort.repetitions,
        )
    how = f"of {rows:,}, by the server's log"
    yield Row(f"claims, first {SENT:,}", "", taken["first"], "/s", how)
    yield Row(f"claims, last {SENT:,}", "", taken["last"], "/s", how)
    yield Row("claims, last to first", "≥ 0.9", ratios(taken["last"], taken["first"]), "×", "in turn")


def _per_s(made: Archive, server: Nginx, rows: int, done: int) -> float:
    """The pace of the next 5,000 on a ledger with so many done."""
    options = ("--rate", "1000000", "--limit", str(SENT))
    with made.copy(rows, done=done) as ledger, going(ledger, server, options) as run:
        seen = run.wait_for(SENT)[WARM_UP:]
    return (len(seen) - 1) / (seen[-1].at_s - seen[0].at_s)


if __name__ == "__main__":
    show(figure)
