"""Makes the ledger of today's schema that the tests of tomorrow open: one for each schema, kept for good.

Run as a script, with the name of the file to make: ``python tests/ledgers/making.py tests/ledgers/0003.db``.
The command line does all of it, against a sandbox on this machine, so that what is in the file is what people
have: every state, every kind of attempt, invalid rows, loads that ended and one that did not, runs that ended
and one that was killed.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.cli import FAST, PICTURES, Cli, serving, until, write_manifest
from support.ledger_sql import query

from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.sandbox import Fault, FaultKind, SandboxSettings

KINDS = ("404404404", "100010001", "400400400", "503503503", "504504504")
"""Not there, wrong, at the other vendor, busy twice, and accepted without an answer."""

TITLED = ("file_id", "title")


def ids(prefix: str, n: int) -> list[str]:
    """Ids of recordings that begin alike."""
    return [f"{prefix}{7 + 31 * k:0{19 - len(prefix)}d}" for k in range(n)]


def titled(rows: list[str]) -> list[tuple[str, str]]:
    """Rows with a column of their own."""
    return [(one, f'片段 "{k}", {one[-3:]}') for k, one in enumerate(rows, 1)]


async def make(folder: Path) -> Path:
    """Make the ledger in an empty folder; returns its path."""
    cli, ledger = Cli(folder, python=sys.executable), folder / "batcher.db"
    plain = ids("13977", 40)
    await _answers(cli, folder, plain[:8])
    await _failed(cli, folder, plain[8:10])
    await _lost(cli, folder, plain[10:13])
    await _put_off(cli, folder, plain[13:16])
    await _loads(cli, folder, plain[16:24])
    await _killed(cli, ledger)
    await cli.end_all()
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("UPDATE runs SET host = 'archive'")
        connection.execute("UPDATE loads SET path = '/srv/' || source WHERE path <> '-'")
        connection.commit()
        connection.execute("VACUUM")
    return ledger


async def _answers(cli: Cli, folder: Path, plain: list[str]) -> None:
    """Every answer that the sandbox gives by itself, and rows that cannot be sent."""
    marked = [one for prefix in KINDS for one in ids(prefix, 2)]
    bad = [("1.39776E+18", "rounded"), ("", "no id"), ("13977x", "letters")]
    archive = write_manifest(folder / "archive.csv", titled(plain + marked) + bad, TITLED).name
    rows = [("/record/a/2024-11-13-06-10-48.mp4", "5"), ("/record/missing/b.mp4", "5")]
    huawei = write_manifest(folder / "huawei.csv", rows, ("file_id", "interval")).name
    async with serving(cli, ledger_made=False):
        done = await cli.run(archive, *PICTURES, "--in-doubt", "hold")
        assert done.code == 1, done.stderr
        done = await cli.run(huawei, "--vendor", "Huawei", "--in-doubt", "hold")
        assert done.code == 1, done.stderr


async def _failed(cli: Cli, folder: Path, plain: list[str]) -> None:
    """Some whose budget of tries is used up."""
    manifest = write_manifest(folder / "busy.csv", titled(plain), TITLED).name
    async with serving(cli, _all(Fault(FaultKind.CODE, 1))):
        done = await cli.run(manifest, *PICTURES)
        assert done.code == 1, done.stderr


async def _lost(cli: Cli, folder: Path, plain: list[str]) -> None:
    """Some whose answer was lost, that wait to be sent again."""
    manifest = write_manifest(folder / "lost.csv", titled(plain), TITLED).name
    async with serving(cli, _all(Fault(FaultKind.DROP_AFTER))) as sandbox:
        process = await cli.start("run", manifest, *PICTURES, *FAST)
        await sandbox.wait_for(lambda: len(sandbox.log) >= len(plain), 20)
        process.send_signal(signal.SIGINT)
        done = await cli.finish(process)
        assert done.code == 130, done.stderr


async def _put_off(cli: Cli, folder: Path, plain: list[str]) -> None:
    """Some that were put off."""
    manifest = write_manifest(folder / "later.csv", titled(plain), TITLED).name
    async with serving(cli, _all(Fault(FaultKind.CODE, 1))):
        process = await cli.start("run", manifest, *PICTURES, *FAST)
        delayed = "SELECT count(*) FROM submissions WHERE not_before_ms IS NOT NULL AND tries_busy > 1"
        await until(lambda: query(folder / "batcher.db", delayed)[0][0] >= len(plain))
        process.send_signal(signal.SIGINT)
        done = await cli.finish(process)
        assert done.code == 130, done.stderr


async def _loads(cli: Cli, folder: Path, plain: list[str]) -> None:
    """Some that were never tried, out of a file and out of a stream that broke off."""
    manifest = write_manifest(folder / "nightly.csv", titled(plain[:6]), TITLED).name
    assert (await cli("load", manifest, *PICTURES)).code == 0
    assert (await cli("load", manifest, *PICTURES)).code == 0
    rows = [*plain[6:], *[plain[0]] * HEAD_ROWS]  # as many as are checked before anything is kept
    stream = "\n".join(["file_id", *rows, "13977\0", ""])
    assert (await cli("load", "-", *PICTURES, stdin=stream.encode())).code == 2


async def _killed(cli: Cli, ledger: Path) -> None:
    """Submissions that were in flight when their run was killed."""
    async with serving(cli, _all(Fault(FaultKind.HANG))):
        process = await cli.start("run", *PICTURES, *FAST, "--limit", "2")
        sending = "SELECT count(*) FROM submissions WHERE state = 'sending'"
        await until(lambda: query(ledger, sending)[0][0] == 2)
        process.kill()
        await process.wait()


def _all(fault: Fault) -> SandboxSettings:
    """A sandbox in which every request meets the same fault."""
    return SandboxSettings(rate_per_s=None, choose=lambda _: fault)


def main() -> None:
    """Make the file named on the command line."""
    target = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        target.write_bytes(asyncio.run(make(Path(folder))).read_bytes())


if __name__ == "__main__":
    main()
