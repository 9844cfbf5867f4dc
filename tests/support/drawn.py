"""Ledgers for the tests of the report, written by SQL with any words and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support import ledger_sql
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import Sql

BEGAN_MS = 1_764_000_000_000
"""When the first run began."""

NIGHT_MS = 86_400_000


@dataclass
class Words:
    """Texts that come from elsewhere: manifests, the service, the vendor, servers."""

    file_id: str = "1397757890000000311"
    title: str = "Lesson"
    source: str = "archive.csv"
    message: str = "request failed"
    request_id: str = "8a6f-1"
    task_id: str = "1500030200-procedurev2-aft0"
    reason: str = "nothing is left to send"
    status: str = "FAIL"
    column: str = "vendor"
    error: str = "HTTP 404"


@dataclass
class Ending:
    """How one submission ended."""

    state: str = "submitted"
    code: int | None = 0
    lost: int = 0
    """Requests before the last whose answers were lost."""
    refused: int = 0
    """Requests before the last that were told to slow down."""
    took_ms: int = 100


@dataclass
class Drawn:
    """What is put into a ledger."""

    path: Path
    words: Words = field(default_factory=Words)

    async def make(self) -> None:
        """Make it, without anything in it."""
        copy_ledger(await empty_ledger(), self.path)
        with self.writing() as sql:
            sql.execute("INSERT INTO binding (id, app_id, place) VALUES (1, 1234567890, 'other')")
            sql.execute(
                "INSERT INTO loads (id, source, path, columns, started_at_ms, ended_at_ms) "
                "VALUES (1, ?, '/srv/archive.csv', '[\"title\"]', ?, ?)",
                (self.words.source, BEGAN_MS, BEGAN_MS),
            )
            sql.execute(
                "INSERT INTO parameters VALUES (1, 'Tencent', 'SnapshotByTimeOffset', '10', '', '1;2')"
            )

    @contextmanager
    def writing(self) -> Iterator[Sql]:
        """The ledger's file, written when this ends."""
        with ledger_sql.writing(self.path) as connection:
            yield connection

    def run(
        self, endings: Sequence[Ending], *, number: int = 1, per_s: float = 20, quiet_s: float = 0
    ) -> None:
        """A run that sends so many submissions, so many a second.

        Args:
            endings: of its submissions, in their order.
            number: of the run; each begins a day after the one before.
            per_s: requests a second.
            quiet_s: in its middle nothing is answered for so long, after six calls that never left.
        """
        with self.writing() as sql:
            [(first,)] = sql.execute("SELECT coalesce(max(id), 0) + 1 FROM submissions")
            at = float(BEGAN_MS + (number - 1) * NIGHT_MS)
            sql.execute(
                "INSERT INTO runs (id, started_at_ms, pid, host, version, rate_per_s, pace_per_s, reason, "
                "exit_code) VALUES (?, ?, 7, 'archive', '0', 20, 15, ?, 1)",
                (number, at, self.words.reason),
            )
            for id_, ending in enumerate(endings, first):
                at += 1000 / per_s
                attempts, ended = 0, list[tuple[object, ...]]()
                if quiet_s and id_ == first + len(endings) // 2:
                    for attempts in range(1, 7):
                        _attempt(
                            ended, id_, attempts, number, at, "not_sent", "again", None, None, self.words
                        )
                    at += quiet_s * 1000
                for _ in range(ending.lost):
                    attempts += 1
                    _attempt(
                        ended, id_, attempts, number, at, "reply_lost", "in_doubt", None, None, self.words
                    )
                for _ in range(ending.refused):
                    attempts += 1
                    _attempt(ended, id_, attempts, number, at, "answer", "slow_down", 6, at + 50, self.words)
                if ending.state != "in_doubt":
                    attempts += 1
                    end = at + ending.took_ms
                    _attempt(
                        ended, id_, attempts, number, at, "answer", ending.state, ending.code, end, self.words
                    )
                file_id = self.words.file_id if id_ == 1 else f"{self.words.file_id}-{id_}"
                extra = f'{{"title": {json.dumps(self.words.title)}}}'
                doubted = ending.lost > 0 or ending.state == "in_doubt"
                known = (id_, file_id, ending.state, ending.code, number, attempts, doubted, id_ + 1, extra)
                sql.execute(
                    "INSERT INTO submissions (id, file_id, parameters_id, state, code, run_id, attempts, "
                    "doubted, load_id, line, extra) VALUES (?, ?, 1, ?, ?, ?, ?, ?, 1, ?, ?)",
                    known,
                )
                sql.executemany(_INSERT_ATTEMPT, ended)
            sql.execute("UPDATE runs SET ended_at_ms = ? WHERE id = ?", (round(at) + 100, number))
            sql.execute("DELETE FROM tallies")
            sql.execute(
                "INSERT INTO tallies (state, code, run_id, coded, n) SELECT state, coalesce(code, -1), "
                "coalesce(run_id, 0), code IS NOT NULL, count(*) FROM submissions GROUP BY 1, 2, 3, 4"
            )

    def task(
        self, submission: int, state: str, pictures: Sequence[tuple[str | None, str | None]] = ()
    ) -> None:
        """The state of a submission's task, and its pictures by state and file."""
        known = (submission, self.words.task_id, state, self.words.status, self.words.message)
        with self.writing() as sql:
            sql.execute(
                "INSERT INTO tasks (submission_id, task_id, state, status, message, request_id, "
                "submitted_at_ms, polls, polled_at_ms, closed_at_ms, ended_at_ms, pictures) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 3, ?, ?, ?, ?)",
                (*known, self.words.request_id, *[BEGAN_MS] * 4, len(pictures)),
            )
            sql.execute("UPDATE submissions SET tracked = true WHERE id = ?", (submission,))
            sql.executemany(
                "INSERT INTO pictures (submission_id, number, url, offset_ms, state, error, file) "
                "VALUES (?, ?, 'https://pictures.example/1.jpg', ?, ?, ?, ?)",
                [
                    (submission, n, n * 2500, state, None if file else self.words.error, file)
                    for n, (state, file) in enumerate(pictures, 1)
                ],
            )
            sql.execute("DELETE FROM task_tallies")
            sql.execute("INSERT INTO task_tallies (state, n) SELECT state, count(*) FROM tasks GROUP BY 1")

    def invalid_rows(self, n: int) -> None:
        """Rows that cannot be sent."""
        rows = [(f"{k}", k, self.words.column, self.words.message) for k in range(1, n + 1)]
        with self.writing() as sql:
            sql.executemany(
                "INSERT INTO invalid_rows "
                '(load_id, last_load_id, file_name, digest, line, "column", reason, content) '
                "VALUES (1, 1, 'archive.csv', ?, ?, ?, ?, '')",
                rows,
            )


_INSERT_ATTEMPT = """
INSERT INTO attempts (submission_id, number, run_id, begun_at_ms, sent_at_ms, answered_at_ms, outcome,
    decision, code, task_id, request_id, vendor_request_id, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def _attempt(
    ended: list[tuple[object, ...]],
    submission: int,
    number: int,
    run: int,
    at: float,
    outcome: str,
    decision: str,
    code: int | None,
    answered: float | None,
    words: Words,
) -> None:
    task_id = words.task_id if decision == "submitted" else None
    sent = None if outcome == "not_sent" else round(at)
    ended.append(
        (
            *(
                submission,
                number,
                run,
                round(at),
                sent,
                answered and round(answered),
                outcome,
                decision,
                code,
            ),
            *(task_id, words.request_id, f"{words.request_id}v", words.message),
        )
    )
