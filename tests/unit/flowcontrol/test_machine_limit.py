"""The limit that the processes of a machine share, and the folder that it lies in."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batcher.errors import LimitBusy
from batcher.flowcontrol import machine_limit, shared_moments
from batcher.flowcontrol.limit_key import LIMIT_PER_S, Action, LimitKey
from batcher.flowcontrol.machine_limit import admitted, busy_text
from batcher.flowcontrol.run_place import RunPlace, Sender, fits, look_around
from batcher.flowcontrol.shared_folder import FOR_EVERYBODY, MAGIC, SWEPT_AFTER_S, open_folder, sweep
from batcher.flowcontrol.shared_moments import MachineCount, SharedMoments
from batcher.flowcontrol.sliding_window import Spacing

ZEGO = "https://rtc-api.zego.im/"
KEY = LimitKey.of(7, Action.SUBMIT, ZEGO)
NEVER = -float("inf")
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((7, Action.SUBMIT, ZEGO), (7, Action.SUBMIT, "https://rtc-api-sgp.zego.im/"), True),
        ((7, Action.SUBMIT, ZEGO), (7, Action.POLL, ZEGO), False),
        ((7, Action.SUBMIT, ZEGO), (8, Action.SUBMIT, ZEGO), False),
        ((7, Action.SUBMIT, ZEGO), (7, Action.SUBMIT, "https://example.com/"), False),
        (
            (7, Action.SUBMIT, "https://example.com/"),
            (7, Action.SUBMIT, "https://EXAMPLE.com:443/x"),
            True,
        ),
        (
            (7, Action.SUBMIT, "http://localhost:81/"),
            (7, Action.SUBMIT, "http://127.0.0.1:81/"),
            True,
        ),
        (
            (7, Action.SUBMIT, "http://127.0.0.1:80/"),
            (7, Action.SUBMIT, "http://127.0.0.1:81/"),
            False,
        ),
    ],
)
def test_limit_key_depends_on_account_action_and_service(
    one: tuple[int, Action, str], other: tuple[int, Action, str], same: bool
) -> None:
    """All hosts of the service share a key; for other endpoints host and port belong to the key."""
    keys = LimitKey.of(*one), LimitKey.of(*other)
    assert (keys[0] == keys[1]) is same
    assert (keys[0].file_name == keys[1].file_name) is same


@pytest.mark.parametrize(
    ("moments", "at", "expected"),
    [
        ([], 5.0, 0.0),
        ([5.0], 5.0, 0.025),
        ([5.0], 5.03, -0.005),
        ([n * 0.05 for n in range(20)], 1.0, 0.0125),
        ([n * 0.05 for n in range(20)], 1.02, -0.0075),
        ([n * 0.05 for n in range(19)], 1.0, -0.075),
    ],
)
def test_room_depends_on_the_last_moments(moments: list[float], at: float, expected: float) -> None:
    """Twenty requests leave within 1.0125 s, and none sooner than half a turn after the last."""
    assert Spacing(20).wait_s(moments, at) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rate_per_s", "others", "expected"),
    [
        (20, [], True),
        (2000, [], True),
        (20, [0.1], False),
        (8, [12], True),
        (8.1, [12], False),
        (5, [8, 8], False),
    ],
)
def test_runs_fit_when_their_rates_add_up_to_the_limit(
    rate_per_s: float, others: list[float], expected: bool
) -> None:
    """A single run may have any rate; several together keep to the limit."""
    others_there = [Sender("l", "c", one) for one in others]
    assert fits(Sender("m", "c", rate_per_s), others_there) is expected


# -- the shared moments ----------------------------------------------------------------------------------


def enter_as_soon_as_possible(count: MachineCount, at: float) -> float:
    """The moment at which a request may leave, asked from a moment on."""
    while (wait_s := count.enter(at, NEVER)) > 0:
        at += wait_s
    return at


def test_counts_of_two_processes_share_one_limit(tmp_path: Path) -> None:
    """Two lists over one file, as two processes have them, let 20 leave in any second together."""
    counts = [MachineCount(SharedMoments(KEY, (tmp_path / "f",)), LIMIT_PER_S) for _ in range(2)]
    began = at = time.monotonic() - 10  # in the past: what lies ahead would not be believed
    left = []
    for n in range(60):
        left.append(at := enter_as_soon_as_possible(counts[n % 2], at))
    assert all(later - earlier > 1.0 for earlier, later in zip(left, left[20:], strict=False))
    assert at - began < 3.1


def test_moved_request_counts_once(tmp_path: Path) -> None:
    """A correction of one process is not counted twice by another that has read the moment before."""
    one, other = (MachineCount(SharedMoments(KEY, (tmp_path / "f",)), LIMIT_PER_S) for _ in range(2))
    at = time.monotonic() - 10
    for _ in range(19):
        at = enter_as_soon_as_possible(one, at)
        other.enter(at, NEVER)
        one.move(at, at + 0.001)
        at += 0.001
    assert enter_as_soon_as_possible(other, at) == pytest.approx(at + 0.025)


def test_file_that_vanishes_or_is_replaced_is_made_again(tmp_path: Path) -> None:
    """Files of logged-out users are removed; own requests stay counted, and the file is made again."""
    folder = tmp_path / "f"
    one, other = (MachineCount(SharedMoments(KEY, (folder,)), 1.0) for _ in range(2))
    at = enter_as_soon_as_possible(one, time.monotonic() - 10)
    for file in folder.iterdir():
        file.unlink()
    assert one.enter(at + 0.5, NEVER) > 0
    at = enter_as_soon_as_possible(one, at)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    at = enter_as_soon_as_possible(one, at)
    assert other.enter(at + 0.5, NEVER) > 0


def test_moments_of_an_earlier_start_of_the_machine_do_not_count(tmp_path: Path) -> None:
    """A moment far ahead of the clock was written before a restart."""
    later = SharedMoments(KEY, (tmp_path / "f",), clock=lambda: 1e9)
    MachineCount(later, 1.0).enter(1e9, NEVER)
    assert MachineCount(SharedMoments(KEY, (tmp_path / "f",)), 1.0).enter(time.monotonic(), NEVER) <= 0


def test_locked_list_is_waited_for_then_done_without(tmp_path: Path) -> None:
    """A stopped or hostile process cannot keep others from sending for good."""
    now = 100.0
    moments = SharedMoments(KEY, (tmp_path / "f",), clock=lambda: now)
    count = MachineCount(moments, LIMIT_PER_S)
    [file] = (tmp_path / "f").iterdir()
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert 0 < count.enter(now, NEVER) < 0.1
        now += 3.0
        assert count.enter(now, NEVER) <= 0
        assert moments.problem is not None
    assert count.enter(now + 0.1, NEVER) <= 0
    assert moments.problem is None


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """The shared folder, open."""
    descriptor = open_folder((folder,))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# -- the folder ------------------------------------------------------------------------------------------


def test_folder_is_writable_for_all_users_and_files_belong_to_their_owners(tmp_path: Path) -> None:
    """Under any umask all users may add files, and the sticky bit lets only their owners remove them."""
    before = os.umask(0o077)
    try:
        SharedMoments(KEY, (tmp_path / "f",))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == FOR_EVERYBODY
    assert [stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "f").iterdir()] == [0o666]


def test_folder_without_its_mode_is_completed(tmp_path: Path) -> None:
    """A process that was killed between making the folder and opening it to all leaves no lasting harm."""
    (tmp_path / "f").mkdir(0o700)
    assert SharedMoments(KEY, (tmp_path / "f",)).problem is None
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == FOR_EVERYBODY


def test_unusable_place_is_replaced_by_the_next(tmp_path: Path) -> None:
    """A link in place of the folder is not followed."""
    (tmp_path / "target").mkdir()
    (tmp_path / "f").symlink_to(tmp_path / "target")
    assert SharedMoments(KEY, (tmp_path / "f", tmp_path / "g")).problem is None
    assert list((tmp_path / "target").iterdir()) == []
    assert len(list((tmp_path / "g").iterdir())) == 1


@pytest.mark.parametrize("kind", ["symlink", "hard link", "other content", "fifo", "folder"])
def test_foreign_file_is_not_touched(tmp_path: Path, kind: str) -> None:
    """A trap in place of a file of batcher is harmless: its target is unchanged, and sending continues."""
    folder, victim = tmp_path / "f", tmp_path / "victim"
    victim.write_bytes(b"SQLite format 3")
    os.close(open_folder((folder,)))
    trap = folder / f"{KEY.file_name}.moments"
    match kind:
        case "symlink":
            trap.symlink_to(victim)
        case "hard link":
            victim.write_bytes(MAGIC)
            trap.hardlink_to(victim)
        case "fifo":
            os.mkfifo(trap)
        case "folder":
            trap.mkdir()
        case _:
            trap.write_bytes(b"SQLite format 3")
    before = victim.read_bytes()
    moments = SharedMoments(KEY, (folder,))
    count = MachineCount(moments, LIMIT_PER_S)
    assert moments.problem is not None
    at = time.monotonic()
    assert count.enter(at, NEVER) <= 0
    assert count.enter(at, NEVER) > 0
    assert victim.read_bytes() == before


def test_process_without_a_shared_folder_counts_alone(tmp_path: Path) -> None:
    """A missing folder does not stop the sending."""
    moments = SharedMoments(KEY, (tmp_path / "missing" / "f",))
    assert moments.problem is not None
    assert MachineCount(moments, LIMIT_PER_S).enter(time.monotonic(), NEVER) <= 0


def test_old_files_are_swept_unless_locked(tmp_path: Path) -> None:
    """Files that are out of use are removed; a locked file stays, however old it is."""
    folder = tmp_path / "f"
    with opened(folder) as descriptor:
        long_ago = time.time() - SWEPT_AFTER_S - 1
        for name in ("old", "held", "new"):
            (folder / name).write_bytes(MAGIC)
            if name != "new":
                os.utime(folder / name, (long_ago, long_ago))
        (folder / "foreign").write_bytes(b"something else")
        os.utime(folder / "foreign", (long_ago, long_ago))
        with (folder / "held").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            sweep(descriptor)
    assert {file.name for file in folder.iterdir()} == {"held", "new", "foreign"}


HOLD = """
import asyncio, sys
from pathlib import Path
from batcher.flowcontrol import machine_limit, shared_moments
from batcher.flowcontrol.machine_limit import *
shared_moments.shared_folders = lambda: (Path(sys.argv[1]),)
async def hold():
    key = LimitKey.of(7, Action.SUBMIT, "https://rtc-api.zego.im/")
    async with admitted(key, Sender("/a/other.db", "batcher run", float(sys.argv[2]))):
        print(machine_limit.why_unshared(key) or "held", flush=True)
        sys.stdin.read()
asyncio.run(hold())
"""


@contextmanager
def holder(folder: Path, rate_per_s: float) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs at a rate."""
    command = [sys.executable, "-c", HOLD, str(folder), str(rate_per_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test alone; the test is a process that has not sent yet."""
    folder = tmp_path / "f"
    monkeypatch.setattr(shared_moments, "shared_folders", lambda: (folder,))
    monkeypatch.setattr(machine_limit, "_PROCESS", machine_limit._Process())
    return folder


async def test_second_run_names_the_first(shared: Path) -> None:
    """A run without room names the other ledger, process and rate, and the remedy."""
    with holder(shared, 15) as process:
        with pytest.raises(LimitBusy) as refused:
            async with admitted(KEY, Sender("mine.db", "batcher run", 20.0), wait_s=0.0):
                pass
        async with admitted(KEY, Sender("mine.db", "batcher run", 5.0), wait_s=0.0):
            pass
    for word in (f"process {process.pid} on ", "/a/other.db", "--rate 15", "AppId 7", "--wait-lock"):
        assert word in str(refused.value)
    assert refused.value.exit_code == 5


@pytest.mark.parametrize(
    ("wait_s", "text"),
    [
        (None, "AppId 7: process 5 on h, since"),
        (None, ". Wait until it has ended, or give both runs a --rate so that they add up to 20 at most"),
        (0.0, ". Wait for it, or use --wait-lock, or "),
        (60.0, "AppId 7, also after waiting 1 min: process 5"),
        (60.0, ". Wait longer, or give both runs"),
        (60.0, "(this one has 20)"),
    ],
)
def test_busy_limit_names_the_remedy_by_how_long_was_waited(wait_s: float | None, text: str) -> None:
    """The message names the other run, the time waited and the option that helps."""
    other = Sender("/a/other.db", "batcher run", 15.0, 5, "h")
    assert text in busy_text(KEY, Sender("mine.db", "batcher run", 20.0), [other], wait_s)


async def test_second_run_waits_until_the_first_is_killed(shared: Path) -> None:
    """A place vanishes with its process, however it ends."""
    texts = list[str]()
    with holder(shared, 20) as process:

        def end(text: str) -> None:
            texts.append(text)
            process.kill()

        async with admitted(KEY, Sender("mine.db", "batcher run", 20.0), wait_s=20.0, on_wait=end):
            pass
    assert [text.split(":")[0] for text in texts] == ["waiting up to 20 s for another run with AppId 7"]


async def test_runs_of_one_process_share_a_place_that_others_see(shared: Path) -> None:
    """Two ledgers in one process run together; other processes see their summed rate, at most the limit."""
    async with admitted(KEY, Sender("a.db", "program", 20.0)):
        async with admitted(KEY, Sender("b.db", "program", 20.0)):
            assert _seen(shared) == [20.0]
        assert _seen(shared) == [20.0]
    assert _seen(shared) == []
    async with admitted(KEY, Sender("a.db", "program", 5.0)), admitted(KEY, Sender("b.db", "program", 4.0)):
        assert _seen(shared) == [9.0]


async def test_forked_child_does_not_keep_the_place(shared: Path) -> None:
    """The place ends with the process that runs, although its child continues."""
    async with admitted(KEY, Sender("a.db", "program", 20.0)):
        waiting, ending = os.pipe()
        child = os.fork()
        if child == 0:
            machine_limit._PROCESS.forget()  # as it is registered for the process's own
            os.close(ending)
            os.read(waiting, 1)
            os._exit(0)
    assert _seen(shared) == []
    os.close(ending)
    os.close(waiting)
    await asyncio.to_thread(os.waitpid, child, 0)


def _seen(folder: Path) -> list[float]:
    """The rates of all that run, as another process sees them."""
    with opened(folder) as descriptor:
        return [one.rate_per_s for one in look_around(descriptor, KEY)[0]]


@pytest.fixture
def of_another_user(shared: Path) -> Path:
    """The folder, made by another user first."""
    for folder in shared.parents:
        if folder.name.startswith(("pytest", "popen")) or folder == shared.parent:
            folder.chmod(folder.stat().st_mode | 0o055)
    shared.mkdir()
    os.chown(shared, NOBODY, NOBODY)
    shared.chmod(FOR_EVERYBODY)
    return shared


@contextmanager
def run_of_another_user(rate_per_s: float) -> Iterator[None]:
    """A child process of another user that runs at a rate; it cannot execute a program of root's."""
    (said, says), (waits, ends) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(NOBODY)
            os.umask(0o077)
            os.close(ends)
            machine_limit._PROCESS.forget()
            place = machine_limit._PROCESS.place_of(KEY, Sender("/a/other.db", "batcher run", rate_per_s))
            os.write(says, b"held" if isinstance(place, RunPlace) else repr(place).encode())
            os.close(says)
            os.read(waits, 1)
        finally:
            os._exit(0)
    os.close(says)
    os.close(waits)
    try:
        assert os.read(said, 1000) == b"held"
        yield
    finally:
        os.close(ends)
        os.close(said)
        os.waitpid(child, 0)


@needs_root
async def test_two_users_share_one_limit(of_another_user: Path) -> None:
    """The folder of another user, made under any umask, is shared."""
    with run_of_another_user(20), pytest.raises(LimitBusy):
        async with admitted(KEY, Sender("mine.db", "batcher run", 20.0)):
            pass
    async with admitted(KEY, Sender("mine.db", "batcher run", 12.0)):
        with run_of_another_user(8):
            assert sorted(_seen(of_another_user)) == [8.0, 12.0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        MAGIC,
        MAGIC + b"{}",
        b"\xff\x00",
        MAGIC + b'{"rate_per_s": NaN}',
        MAGIC + b"[1]",
        MAGIC + b"9" * 999,
    ],
)
def test_unreadable_sender_counts_as_the_whole_limit(content: bytes) -> None:
    """A place whose lock is held counts, with any content of its file."""
    assert Sender.read(content).rate_per_s == LIMIT_PER_S


def test_sender_is_read_as_it_was_written() -> None:
    """Ledger, command, process and rate; control characters of others are left out."""
    written = Sender("/a/b.db", "batcher run", 12.5)
    read = Sender.read(written.written())
    assert (read.ledger, read.command, read.rate_per_s) == ("/a/b.db", "batcher run", 12.5)
    assert (read.pid, read.host) == (os.getpid(), written.host)
    assert Sender.read(Sender("a\x1b[31m\nb", "c", 1.0).written()).ledger == "a[31mb"
