"""``ledger``: the commands for a ledger that has grown long; what they do and say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from batcher.cli.ledger_lock import lock_for
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import LedgerMissing, SettingsError
from batcher.ledger import (
    Inspected,
    back_up,
    check_file,
    inspect,
    ledger_path,
    open_for_reading,
    open_for_writing,
    open_to_itself,
    prune,
    vacuum,
    verify,
)
from batcher.model.submission import Place
from batcher.report.formatting import PLACES, count, moment, size
from batcher.report.summary import ledger_option

TELL_EVERY_S = 5.0
"""How often work that takes long says how far it is."""

_DAMAGED = 6
"""The exit code of a ledger that is not whole."""

OLDEST_DAYS = 36_500


def say_info(settings: Settings, console: Console, *, as_json: bool) -> int:
    """Print what the file is made of."""
    found = inspect(ledger_path(settings.ledger))
    if as_json:
        console.data(json.dumps(_info_json(found), ensure_ascii=False))
    else:
        console.show(_info_text(found))
    return 0


def say_verified(settings: Settings, console: Console) -> int:
    """Print each thing that is wrong."""
    path = ledger_path(settings.ledger)
    said = NowAndThen(console)
    findings = 0
    for finding in verify(path, lambda what, _: said(lambda: f"still looking at {what}")):
        findings += 1
        console.show(finding)
    if findings:
        console.problem(
            f"batcher: {path}: {count(findings, 'finding')}. Stop runs on this ledger, keep a copy of the "
            "file, and go back to the last backup; `batcher export` still reads what can be read"
        )
        return _DAMAGED
    console.say(f"{path}: whole; tallies, states and attempts agree")
    return 0


def make_backup(settings: Settings, target: Path, console: Console, *, force: bool) -> int:
    """Copy the ledger as it is now."""
    path = ledger_path(settings.ledger)
    said = NowAndThen(console)
    copied = back_up(
        path,
        target,
        lambda done, pages: said(lambda: f"{done * 100 // max(pages, 1)} % copied"),
        replace=force,
    )
    console.say(f"{target}: {size(copied)}, looked through and whole; a ledger like any other: -l {target}")
    return 0


async def say_pruned(settings: Settings, older_than: str, console: Console, *, dry_run: bool) -> int:
    """Let go of surplus attempts, or say how many there are."""
    before = datetime.now(UTC) - _days(older_than)
    path = ledger_path(settings.ledger)
    if dry_run:
        async with await open_for_reading(path) as reading:
            found = await prune(reading, before, None)
    else:
        if not path.exists():
            raise LedgerMissing(f"{path}: there is no ledger here; --ledger names another place")
        lock = await lock_for("ledger prune", path, settings, console)
        async with await open_for_writing(path, lock) as ledger:
            found = await prune(ledger, before, ledger.forget)
    of = f"{count(found.attempts, 'attempt')} of {count(found.submissions, 'submission')}"
    if dry_run:
        console.say(f"{path}: would let go of {of}, begun before {moment(before)}")
    else:
        vacuum_it = f"; the room is given back by batcher ledger vacuum{ledger_option(settings.ledger)}"
        gone = f"{path}: let go of {of}, begun before {moment(before)}"
        console.say(gone + (vacuum_it if found.attempts else ""))
    return 0


async def say_vacuumed(settings: Settings, console: Console) -> int:
    """Give empty pages back to the disk."""
    path = ledger_path(settings.ledger)
    check_file(path)
    lock = await lock_for("ledger vacuum", path, settings, console)
    async with open_to_itself(path, lock):
        done = vacuum(path)
    console.say(f"{path}: {size(done.before_bytes)} before, {size(done.after_bytes)} now")
    return 0


class NowAndThen:
    """Says a line when the last one was some seconds ago."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def __call__(self, text: Callable[[], str]) -> None:
        if time.monotonic() - self._last >= TELL_EVERY_S:
            self._last = time.monotonic()
            self._console.say(text())


def _days(text: str) -> timedelta:
    number = text.strip().lower().removesuffix("d")
    if not number.isdecimal() or not 0 < int(number) <= OLDEST_DAYS:
        raise SettingsError(f"--older-than {text}: give days, from 1 to {OLDEST_DAYS:,}, such as 90d")
    return timedelta(days=int(number))


def _info_json(found: Inspected) -> dict[str, object]:
    return {
        "ledger": str(found.path),
        "schema": found.revision,
        "bytes": found.file_bytes,
        "wal_bytes": found.wal_bytes,
        "free_bytes": found.free_bytes,
        "app_id": found.bound[0] if found.bound else None,
        "place": found.bound[1] if found.bound else None,
        "first_run_at": _time(found.runs[0]) or None,
        "last_run_at": _time(found.runs[1]) or None,
        "tables": {
            part.name: {"rows": part.rows, "bytes": part.bytes, "estimated": part.estimated}
            for part in found.parts
        },
    }


def _info_text(found: Inspected) -> str:
    to = f"AppId {found.bound[0]} and {PLACES[Place(found.bound[1])]}" if found.bound else "no run yet"
    lines = [
        f"{found.path}   schema {found.revision}   {to}",
        "",
        f"  {'file':<14}{size(found.file_bytes):>12}   of which {size(found.free_bytes)} are free",
        f"  {'log beside it':<14}{size(found.wal_bytes):>12}",
        "",
        f"  {'table':<14}{'rows':>12}{'size':>14}",
    ]
    for part in sorted(found.parts, key=lambda part: -part.bytes):
        about = "   estimated, without indexes" if part.estimated else ""
        lines.append(f"  {part.name:<14}{part.rows:>12,}{size(part.bytes):>14}{about}")
    if found.runs[0] is not None:
        lines += ["", f"Runs from {_time(found.runs[0])} to {_time(found.runs[1])}"]
    return "\n".join(lines)


def _time(ms: int | None) -> str:
    return "" if ms is None else moment(datetime.fromtimestamp(ms / 1000, UTC))
