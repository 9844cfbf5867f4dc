"""Fourteen nights of one line in a crontab: what each morning finds, and what was asked in the end.

The nights follow one another as fast as they can. What a night meets is made from outside, as a machine room
makes it: a port that is closed, a secret that was mistyped, a process that is killed, a disk that is full.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from support.cli import NO_LIMIT, Cli, Done, Json, Process, serving, tencent_ids, until, write_manifest
from support.ledger_place import the_server, with_paths
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import Fault, RequestSeen, Sandbox

A_DAY = 12
"""How many recordings a day brings."""
DELETED = "4044044040000000123"
DESTROYED = "1.39776E+18"
MISTYPED = "0123456789abcdef0123456789abcdee"
HEADER = ("file_id", "vendor", "definition", "offsets")
HANG = Fault.parse("hang")

AN_HOUR_AHEAD = """
import datetime, time
import psycopg  # its compiled part looks at the size of the class that is replaced below

now_s, moment = time.time, datetime.datetime

class Moment(moment):
    @classmethod
    def now(cls, tz=None):
        return moment.now(tz) + datetime.timedelta(hours=1)

time.time = lambda: now_s() + 3600
datetime.datetime = Moment
"""
"""What an interpreter reads at its start, so that its wall clock is an hour ahead."""


@dataclass
class Elsewhere:
    """The receivers outside: a chat to which notifications are posted, and a monitor that expects pings."""

    address: str = ""
    notes: list[Json] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Elsewhere]:
        """Listen on this machine."""
        elsewhere = cls()
        app = web.Application()
        app.router.add_post("/chat", elsewhere._note)
        app.router.add_get("/ping{rest:.*}", elsewhere._ping)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            elsewhere.address = f"127.0.0.1:{runner.addresses[0][1]}"
            yield elsewhere
        finally:
            await runner.cleanup()

    async def _note(self, request: web.Request) -> web.Response:
        self.notes.append(await request.json())
        return web.Response()

    async def _ping(self, request: web.Request) -> web.Response:
        self.pings.append(request.match_info["rest"])
        return web.Response()


@dataclass
class Nights:
    """The crontab's line, night after night, and what is found in the mornings."""

    cli: Cli
    sandbox: Sandbox
    elsewhere: Elsewhere
    rows: list[tuple[str, ...]] = field(default_factory=list)
    ids: Iterator[str] = field(default_factory=lambda: iter(tencent_ids(400)))

    def day(self, *found: str, n: int = A_DAY) -> list[str]:
        """Let a day go by: the manifest grows. Returns the new recordings."""
        new = [*(next(self.ids) for _ in range(n)), *found]
        self.rows += [(one, "Tencent", "10", "1;2") for one in new]
        write_manifest(self.cli.folder / "nightly.csv", self.rows, HEADER)
        return new

    async def begin(self, *more: str, env: Mapping[str, str] | None = None) -> Process:
        """The line in the crontab."""
        return await self.cli.start("run", "nightly.csv", "-q", *more, env=env)

    async def night(self, *more: str, env: Mapping[str, str] | None = None) -> Done:
        """A night without an interruption from outside."""
        return await self.cli.finish(await self.begin(*more, env=env))

    async def touched(self, requests: int, touch: Callable[[Process], None], *more: str) -> Process:
        """A night in which something happens to the run once the service has seen so many requests of it."""
        seen = self.sandbox.truth.count
        process = await self.begin(*more)
        await self.sandbox.wait_for(lambda: self.sandbox.truth.count >= seen + requests, 20)
        touch(process)
        return process

    def quiet_morning(self, done: Done, code: int = 0, said: str = "") -> None:
        """Nothing to do: no mail and no notification; the monitor gets the ping of a good end."""
        assert (done.code, done.stdout, done.stderr) == (code, "", said)
        self._heard([], ["/start", ""])

    def morning(self, done: Done, code: int, line: str, notified: str, *, also: str = "") -> None:
        """The user must act: the first line of the mail says everything, and so does the notification.

        Args:
            done: how the run ended.
            code: its exit code.
            line: a pattern for the whole first line of the mail.
            notified: a pattern for a part of the notification.
            also: a pattern for what follows in the mail; empty when nothing does.
        """
        assert (done.code, done.stdout) == (code, ""), done.stderr
        first, _, rest = done.stderr.partition("\n")
        assert re.fullmatch("batcher: " + line, first), first
        assert bool(rest.strip()) == bool(also), rest
        assert re.search(also, " ".join(rest.replace("\\\n", " ").split())), rest
        self._heard([(code, notified)], ["/start", f"/{code}"])

    def nothing_yet(self) -> None:
        """A killed run: the monitor has its start and will miss its end."""
        self._heard([], ["/start"])

    def _heard(self, notes: list[tuple[int, str]], pings: list[str]) -> None:
        """Check that the receivers got exactly these messages of one run."""
        assert self.elsewhere.pings == pings
        assert [note["type"] for note in self.elsewhere.notes] == ["failure"] * len(notes)
        for note, (code, notified) in zip(self.elsewhere.notes, notes, strict=True):
            assert f"(exit code {code})" in note["title"]
            assert "\n" not in note["message"]
            assert re.search(notified, note["message"]), note["message"]
            assert "nightly.db" in with_paths(note["message"])  # which of a crontab's lines it was
            assert self.cli.secret not in str(note)
            assert MISTYPED not in str(note)
        self.elsewhere.notes.clear()
        self.elsewhere.pings.clear()


@dataclass
class SmallDisk:
    """The disk of the ledger: a file system of its own, where one may be mounted."""

    folder: Path
    is_mounted: bool

    def fill(self) -> None:
        """Fill the disk, as a program that leaves its core there."""
        with (self.folder / "core").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return

    def clean(self) -> None:
        """Free the disk, as the user does after reading the mail."""
        (self.folder / "core").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield SmallDisk(folder, is_mounted)
    if is_mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def an_hour_ahead(cli: Cli) -> Cli:
    """The same command line on a machine whose clock is an hour ahead."""
    folder = cli.folder / "ahead"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AN_HOUR_AHEAD, "utf-8")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n', "utf-8")
    python.chmod(0o700)
    return replace(cli, python=str(python))


async def test_fortnight_of_nights(cli: Cli, small_disk: SmallDisk) -> None:
    """Each morning says what it must and no more, and in the end every recording was submitted once, or is
    on record as perhaps sent twice.
    """
    unanswered: set[str] = set()

    def choose(seen: RequestSeen) -> Fault | None:
        return HANG if seen.file_id in unanswered and seen.nth_for_file == 1 else None

    service = replace(NO_LIMIT, choose=choose, latency_ms=20)
    async with (
        Elsewhere.listening() as elsewhere,
        serving(cli, service, ledger_made=False) as sandbox,
    ):
        cli.env |= {
            "BATCHER_LEDGER": "small/nightly.db",
            "BATCHER_RATE": "400",
            "BATCHER_NOTIFY": f"json://{elsewhere.address}/chat",
            "BATCHER_PING_URL": f"http://{elsewhere.address}/ping",
        }
        nights = Nights(cli, sandbox, elsewhere)

        await the_first_nights(nights)  # 1 to 3
        await no_network(nights)  # 4 and 5
        await a_mistyped_secret(nights)  # 6 and 7
        await a_killed_run(nights, unanswered)  # 8 and 9
        await a_run_into_the_next_night(nights)  # 10
        nights.day(n=80)
        if (
            small_disk.is_mounted and not the_server()
        ):  # where none can be made, 11 and 12 are nights like others
            await the_disk_is_full(nights, small_disk)
        await room_again_and_a_wrong_clock(nights)  # 13 and 14

        exported = await referee(cli, sandbox, ledger="small/nightly.db")
        rows = await cli.export("nightly.csv")
    wanted = [row[0] for row in nights.rows]
    assert [row["file_id"] for row in rows] == wanted
    statuses = {row["file_id"]: row["status"] for row in rows}
    assert (statuses.pop(DELETED), statuses.pop(DESTROYED)) == ("rejected", "invalid")
    assert set(statuses.values()) == {"submitted"}
    assert len(exported) == len(wanted) - 1
    assert unanswered <= owned_up_to(sandbox, cli.folder / "small" / "nightly.db", set(statuses))


async def the_first_nights(nights: Nights) -> None:
    """A new ledger, two rows that cannot become pictures, and no second word about them."""
    # 1: the first of all; there is not even a ledger, and that one is made is said once.
    nights.day()
    made = f"new ledger {nights.cli.folder}/small/nightly.db\n"
    nights.quiet_morning(await nights.night(), said=made)

    # 2: a recording that was deleted, and one whose id a spreadsheet has destroyed.
    nights.day(DELETED, DESTROYED)
    nights.morning(
        await nights.night(),
        1,
        r"all submissions were sent; some need your attention: 1 rejected, 1 invalid row\. "
        r"Details: batcher export -l \S+/nightly\.db nightly\.csv -o results\.csv",
        r"12 submitted, 1 rejected, 1 new invalid row; 0 left to send\. .*: batcher status -l",
        also=r"code 41003 1 × the file does not exist\. Check the file id.*"
        r"nightly\.csv line 27, file_id: 1\.39",
    )

    # 3: they are still in the manifest, and are not reported again.
    nights.day()
    nights.quiet_morning(await nights.night())


async def no_network(nights: Nights) -> None:
    """The endpoint cannot be reached for a night, and the next one makes up for it."""
    # 4: no network.
    nights.day()
    await nights.sandbox.stop_listening()
    asked = nights.sandbox.truth.count
    nights.morning(
        await nights.night("--max-duration", "1s"),
        4,
        r"time limit reached while the endpoint did not answer \(since .* last: Connection refused\); "
        r"12 submissions left\. Check the network and BATCHER_ENDPOINT, then run again to resume",
        r"did not answer \(.* last: Connection refused\); 12 submissions left\. Check the network",
        also=r"to resume batcher run -l",
    )
    await nights.sandbox.start_listening()

    # 5: the network is back, and the night before is made up for.
    nights.day()
    nights.quiet_morning(await nights.night("--max-duration", "2h"))
    assert nights.sandbox.truth.count == asked + 2 * A_DAY


async def a_mistyped_secret(nights: Nights) -> None:
    """The service refuses the account for a night; the next night is too short."""
    # 6: the user has mistyped the secret.
    nights.day()
    nights.morning(
        await nights.night(env={"BATCHER_SERVER_SECRET": MISTYPED}),
        3,
        r"code 100000005: the signature is wrong \(the service says: .+\); "
        r"check BATCHER_APP_ID and the ServerSecret",
        r"Code 100000005: .*check BATCHER_APP_ID and the ServerSecret.*12 left to send",
        also=r"to resume batcher run -l",
    )

    # 7: it is right again, and the night too short. Work is left on purpose, which is not reported.
    nights.day()
    nights.quiet_morning(await nights.night("--limit", "20"), code=4)


async def a_killed_run(nights: Nights, unanswered: set[str]) -> None:
    """A run is killed while five answers are missing, and the next one completes what it left."""
    # 8: the run is killed while five answers are missing; it cannot say so itself.
    unanswered |= set(nights.day()[:5])
    process = await nights.begin()
    await nights.sandbox.wait_for(lambda: unanswered <= {entry.file_id for entry in nights.sandbox.log}, 20)
    await until(lambda: bool(nights.elsewhere.pings))
    process.kill()
    await process.communicate()
    nights.nothing_yet()

    # 9: what it left is completed, and what may have been sent twice is on record as that.
    nights.day()
    nights.quiet_morning(await nights.night())


async def a_run_into_the_next_night(nights: Nights) -> None:
    """A second run that must be alone finds the first one at work and leaves it alone."""
    # 10: the run of the day before is still going on when the next one begins.
    nights.day()
    longest = await nights.touched(3, lambda one: one.send_signal(signal.SIGSTOP), "--rate", "40")
    await until(lambda: bool(nights.elsewhere.pings))
    assert nights.elsewhere.pings.pop() == "/start"
    nights.day()
    nights.morning(
        await nights.night("--alone"),
        5,
        rf"\S+nightly\.db: another run holds this ledger: process {longest.pid} on \S+, since .+ UTC "
        r"\(batcher run\)\. Wait for it, or use --wait-lock",
        rf"another run holds this ledger: process {longest.pid} on",
    )
    longest.send_signal(signal.SIGCONT)
    nights.elsewhere.pings.append("/start")
    nights.quiet_morning(await nights.cli.finish(longest))


async def room_again_and_a_wrong_clock(nights: Nights) -> None:
    """A night like others, and one on a machine whose clock is wrong."""
    # 13: there is room again.
    nights.day()
    nights.quiet_morning(await nights.night())

    # 14: the machine's clock is an hour ahead. The service says so, and is believed.
    nights.day()
    asked = nights.sandbox.truth.count
    nights.cli = an_hour_ahead(nights.cli)
    nights.quiet_morning(await nights.night())
    assert 100000004 in {entry.code for entry in nights.sandbox.truth.after(asked)}


async def the_disk_is_full(nights: Nights, disk: SmallDisk) -> None:
    """Another program fills the disk during a run, and the next night it is still full."""
    process = await nights.touched(10, lambda _: disk.fill(), "--rate", "100")
    nights.morning(
        await nights.cli.finish(process),
        6,
        r"\S+nightly\.db: the ledger cannot be used: the disk is full; free some space, then run again",
        r"the disk is full; free some space, then run again\. .* left to send",
        also=r"to resume batcher run -l",
    )
    nights.day()
    asked = nights.sandbox.truth.count
    nights.morning(
        await nights.night(),
        6,
        r"\S+nightly\.db: only \d+ MiB are free on its disk; a run needs 16 MiB\. "
        r"Free some space, then run again",
        r"only \d+ MiB are free on its disk; a run needs 16 MiB\. Free some space",
    )
    assert nights.sandbox.truth.count == asked, "sent what could not have been recorded"
    disk.clean()


def owned_up_to(sandbox: Sandbox, ledger: Path, wanted: set[str]) -> set[str]:
    """Compare tasks with recordings; return those with more than one task, all of them on record as such."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for task_id, entry in sandbox.accepted().items():
        tasks[entry.file_id].append(task_id)
    assert set(tasks) == wanted
    doubts = dict(
        query(
            ledger,
            "SELECT s.file_id, count(*) FROM attempts a JOIN submissions s ON s.id = a.submission_id "
            "WHERE a.outcome = 'reply_lost' GROUP BY s.file_id",
        )
    )
    twice = {file_id: len(own) - 1 for file_id, own in tasks.items() if len(own) > 1}
    assert {one: n for one, n in twice.items() if n > doubts.get(one, 0)} == {}, "sent twice unknowingly"
    return set(twice)
