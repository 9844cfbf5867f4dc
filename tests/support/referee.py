"""The referee: holds a ledger against what the sandbox has seen."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer.main

from batcher.cli.app import app
from batcher.sandbox import Entry, Sandbox
from support.cli import Cli, Json
from support.ledger_place import ledger_text, the_server
from support.ledger_sql import SqlRow, reading

Key = tuple[str, str, str, str, str, str]


def _sent_key(entry: Entry) -> Key:
    return (
        entry.vendor,
        entry.file_id,
        entry.type,
        entry.definition or "",
        entry.interval or "",
        ";".join(entry.offsets),
    )


def reused_nonces(log: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The requests that share a nonce: repeated by a library, or signed carelessly."""
    by_nonce: dict[str, list[Entry]] = {}
    for entry in log:
        if entry.nonce:
            by_nonce.setdefault(entry.nonce, []).append(entry)
    return {nonce: entries for nonce, entries in by_nonce.items() if len(entries) > 1}


_ASKED = (
    "SELECT s.id, p.vendor, s.file_id, p.type, p.definition, p.interval, p.offsets, s.state, s.attempts "
    "FROM submissions s JOIN parameters p ON p.id = s.parameters_id"
)


async def referee(cli: Cli, sandbox: Sandbox, *, ledger: str = "batcher.db") -> list[Json]:
    """Hold the sandbox's truth log, the ledger and the export against each other.

    What the server has accepted is on record: under its task id, or as an attempt whose answer is missing.
    Nothing is on record that the server did not give, nothing was sent that is not on record, and the
    figures that people read are the sums of what is there.

    Returns:
        The export, one row for each submission.
    """
    path = cli.folder / ledger
    exported = await asyncio.to_thread(_exported, path)
    sent: dict[Key, list[Entry]] = defaultdict(list)
    for entry in sandbox.log:
        if entry.file_id:  # the harmless call has none
            sent[_sent_key(entry)].append(entry)
    given = sandbox.accepted()
    with reading(path) as connection:
        asked = connection.execute(_ASKED).fetchall()
        attempts: dict[int, list[SqlRow]] = defaultdict(list)
        for attempt in connection.execute("SELECT * FROM attempts ORDER BY submission_id, number"):
            attempts[attempt["submission_id"]].append(attempt)
        grouped = connection.execute(
            "SELECT state, coalesce(code, -1), coalesce(run_id, 0), count(*) FROM submissions "
            "GROUP BY 1, 2, 3"
        ).fetchall()
        tallied = connection.execute("SELECT state, code, run_id, n FROM tallies WHERE n <> 0").fetchall()
        if the_server() is None:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert reused_nonces(sandbox.log) == {}
    assert sorted(map(tuple, tallied)) == sorted(map(tuple, grouped))
    by_key: dict[Key, SqlRow] = {tuple(row)[1:7]: row for row in asked}
    assert set(sent) <= set(by_key), "something was sent that is not on record"
    rows_by_key = {_exported_key(row): row for row in exported}
    assert len(rows_by_key) == len(exported) == len(asked)
    assert set(rows_by_key) == set(by_key)
    for key, submission in by_key.items():
        own, requests = attempts[submission["id"]], sent[key]
        _compare(submission, own, requests, given)
        row = rows_by_key[key]
        assert row["status"] == submission["state"]
        assert row["attempts"] == sum(one["outcome"] != "not_sent" for one in own)
        if row["status"] == "submitted":
            assert given[row["task_id"]].file_id == row["file_id"]
            assert row["code"] == 0
    recorded = Counter(one["task_id"] for own in attempts.values() for one in own if one["task_id"])
    assert set(recorded) <= set(given), "a task id the server did not give"
    assert set(recorded.values()) <= {1}
    return exported


def _exported(ledger: Path) -> list[Json]:
    """``batcher export``, within this process: most tests end with it, and starting one takes its time."""
    with tempfile.TemporaryDirectory() as folder:
        results, settings = Path(folder) / "results.jsonl", Path(folder) / "batcher.toml"
        settings.touch()
        code = typer.main.get_command(app).main(
            [
                "export",
                "-l",
                ledger_text(ledger),
                "-o",
                str(results),
                "--format",
                "jsonl",
                "-q",
                "--config",
                str(settings),
            ],
            standalone_mode=False,
        )
        assert code == 0
        return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def _compare(
    submission: SqlRow, attempts: list[SqlRow], requests: list[Entry], given: Mapping[str, Entry]
) -> None:
    """One submission: its attempts on record against its requests at the server."""
    assert [one["number"] for one in attempts] == list(range(1, len(attempts) + 1))
    assert submission["attempts"] == len(attempts)
    answered = [one for one in attempts if one["outcome"] in ("answer", "http_refusal")]
    missing = [one for one in attempts if one["outcome"] in ("reply_lost", None)]
    unnamed = [one for one in answered if one["code"] == 0 and one["task_id"] is None]
    assert len(answered) <= len(requests) <= len(answered) + len(missing)
    recorded = {one["task_id"] for one in attempts if one["task_id"]}
    accepted = [one for one in requests if one.task_id is not None]
    assert recorded <= set(given)
    assert all(given[task_id] in requests for task_id in recorded)
    unrecorded = [one for one in accepted if one.task_id not in recorded]
    assert len(unrecorded) <= len(missing) + len(unnamed), "accepted, and not on record as in doubt"
    if len(accepted) > 1:
        first_named = next((n for n, one in enumerate(attempts) if one["task_id"]), len(attempts))
        assert any(one in missing for one in attempts[:first_named]), "sent twice unknowingly"
    assert (submission["state"] == "submitted") == bool(recorded)
    assert len(recorded) <= 1


def _exported_key(row: Json) -> Key:
    names = ("vendor", "file_id", "type", "definition", "interval", "offsets")
    vendor, file_id, type_, definition, interval, offsets = (str(row[name] or "") for name in names)
    return vendor, file_id, type_, definition, interval, offsets
