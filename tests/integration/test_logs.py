"""Output on stderr: one object a line for programs, no control characters, no secrets."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
import textwrap
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from support.cli import FAST, PICTURES, Cli, Done, serving, tencent_ids
from support.command_table import EVERY_COMMAND

from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, Fate, Fault, SandboxSettings, TaskSettings

JSON = ("--log-format", "json")
NONCE = "4fd24687296dd9f3"
SIGNATURE = "43e5cfcca828314675f91b001390566a"
SIGNED = f"https://rtc-api.zego.im/?Action=M&SignatureNonce={NONCE}&Signature={SIGNATURE}&Timestamp=5"

HOSTILE = "no\x1b]0;pwned\x07\x1b[2J \x9b31m such\u202efile\r"
"""Names a window, clears the screen, turns red, turns the order of letters, goes back to the left."""


def events(done: Done) -> list[dict[str, Any]]:
    """Every line of stderr, each of them an object with what each has."""
    found = [json.loads(line) for line in done.stderr.split("\n")[:-1]]
    assert done.stderr == "" or done.stderr.endswith("\n")
    for event in found:
        assert list(event)[:3] == ["timestamp", "level", "event"]
        assert datetime.fromisoformat(event["timestamp"]).utcoffset() == UTC.utcoffset(None)
        assert event["level"] in {"debug", "info", "warning", "error"}
    return found


def controls(text: str) -> list[str]:
    """Characters that a terminal obeys."""
    obeyed = {"Cc", "Cs", "Zl", "Zp"}
    return [
        c
        for c in text
        if c != "\n" and (unicodedata.category(c) in obeyed or c in "\u202e\u2066\u2067\u2069")
    ]


# -- one object a line ---------------------------------------------------------------------------------


async def test_run_for_programs(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Its events are the start, each rejection with its code, and the figures of ``--json`` at the end."""
    archive = manifest([*(ids := tencent_ids(4)), "room-1"])
    faults = {ids[2]: Fault.parse("code:41003")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)):
        done = await cli.run(archive, *PICTURES, *JSON, "--json")
        again = await cli.run(*JSON)
    assert done.code == 1
    found = events(done)
    names = [event["event"] for event in found]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert set(names[1:-1]) == {"pace_changed", "submission_rejected"}
    [rejected] = [event for event in found if event["event"] == "submission_rejected"]
    assert (rejected["file_id"], rejected["code"], rejected["level"]) == (ids[2], 41003, "warning")
    assert rejected["request_id"]
    finished = {
        name: value for name, value in found[-1].items() if name not in ("timestamp", "level", "event")
    }
    assert finished == json.loads(done.stdout)
    assert finished["submissions"]["submitted"] == 3
    assert found[-1]["level"] == "warning"
    assert (again.code, events(again)[-1]["level"]) == (0, "info")


async def test_quiet_run_for_programs(cli: Cli, manifest: Callable[..., Path]) -> None:
    """``-q`` says nothing of a run that ended well, and its end alone of one that did not."""
    archive = manifest(ids := tencent_ids(2))
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file={ids[0]: Fault.parse("code:4")})):
        bad = await cli.run(archive, *PICTURES, *JSON, "-q")
        good = await cli.run(*JSON, "-q")
    assert (bad.code, good.code) == (1, 0)
    [finished] = events(bad)
    assert (finished["event"], finished["codes"], finished["exit_code"]) == ("run_finished", {"4": 1}, 1)
    assert good.stderr == ""


@pytest.mark.parametrize("options", [(), JSON], ids=["text", "json"])
async def test_work_left_on_purpose_is_no_problem_in_either_format(
    cli: Cli, manifest: Callable[..., Path], options: tuple[str, ...]
) -> None:
    """Under ``-q`` an end that was asked for writes nothing; work that could not be got at does."""
    archive = manifest(tencent_ids(12))
    async with serving(cli) as sandbox:
        on_purpose = await cli.run(archive, *PICTURES, "--limit", "1", *options, "-q")
        loud = await cli.run("--limit", "1", *options)
        await sandbox.stop_listening()
        outage = await cli("run", "--max-duration", "2s", "--concurrency", "1", *options, "-q")
    assert (on_purpose.code, loud.code, outage.code) == (4, 4, 4)
    assert on_purpose.stderr == ""
    assert "10 submissions left" in loud.stderr
    assert "while the endpoint did not answer" in outage.stderr


@pytest.mark.parametrize("quiet", [(), ("-q",)])
async def test_halt_for_programs(cli: Cli, manifest: Callable[..., Path], quiet: tuple[str, ...]) -> None:
    """A wrong secret halts; the halt and its reason are reported also under ``-q``."""
    archive = manifest(tencent_ids(2))
    async with serving(cli):
        cli.env["BATCHER_SERVER_SECRET"] = cli.secret = "fedcba98765432100123456789abcdef"  # noqa: S105 - wrong
        done = await cli.run(archive, *PICTURES, *JSON, *quiet)
    assert done.code == 3
    found = [event for event in events(done) if event["event"] in ("halted", "run_finished")]
    assert [event["event"] for event in found] == ["halted", "run_finished"]
    assert {event["level"] for event in found} == {"error"}
    assert "100000005" in found[0]["reason"]
    assert found[1]["exit_code"] == 3
    assert not quiet or len(events(done)) == 2


async def test_outage_for_programs(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Its start and its end are reported, with its duration."""
    archive = manifest(tencent_ids(60))
    async with serving(cli) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "40", "--progress", "none", *JSON)
        await sandbox.wait_for(lambda: len(sandbox.log) >= 10, 20)
        await sandbox.stop_listening()
        assert process.stderr is not None
        read = b""
        async with asyncio.timeout(90):
            while b"outage_began" not in read:
                read += await process.stderr.readline()
        await sandbox.start_listening()
        rest = await cli.finish(process)
    done = Done(rest.code, rest.stdout, read.decode() + rest.stderr)
    assert done.code == 0, done.stderr
    found = {event["event"]: event for event in events(done)}
    assert found["outage_began"]["level"] == "warning"
    assert found["outage_began"]["why"]
    assert found["outage_over"]["seconds"] > 0
    assert [name for name in found if name.startswith("outage")] == ["outage_began", "outage_over"]


async def test_stopped_run_for_programs(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A signal is answered with an object like everything else."""
    archive = manifest(tencent_ids(200))
    async with serving(cli) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "20", *JSON)
        await sandbox.wait_for(lambda: len(sandbox.log) >= 2, 20)
        process.send_signal(signal.SIGTERM)
        done = await cli.finish(process)
    assert done.code == 143
    found = events(done)
    assert "Stopping" in next(event["text"] for event in found if event["event"] == "message")
    assert (found[-1]["event"], found[-1]["exit_code"], found[-1]["level"]) == ("run_finished", 143, "error")


WRONG = [
    (("run", "--rat", "3", *JSON), 2, "--rat"),
    (("run", "--log-format=json", "--rate", "many"), 2, "--rate"),
    (("frobnicate", *JSON), 2, "frobnicate"),
    (("status", *JSON), 6, "there is no ledger"),
    (("run", "nowhere.csv", *JSON), 2, "BATCHER_APP_ID"),
    (("load", "nowhere.csv", *JSON), 2, "nowhere.csv"),
    (("run", *JSON, "--rate", "-3"), 2, "--rate"),
    (("ledger", "info", *JSON), 6, "there is no ledger"),
]


@pytest.mark.parametrize(("args", "code", "words"), WRONG, ids=lambda value: str(value)[:30])
async def test_problem_is_a_json_object_with_the_exit_code(
    cli: Cli, args: tuple[str, ...], code: int, words: str
) -> None:
    """Usage, settings, manifests, ledgers: the message, and the exit code with it."""
    done = await cli(*args)
    assert done.code == code
    [event] = events(done)
    assert (event["event"], event["level"], event["exit_code"]) == ("message", "error", code)
    assert words in event["text"]
    assert "batcher: " not in event["text"]


@pytest.mark.parametrize("where", ["environment", ".env", "batcher.toml"])
async def test_format_can_be_set_anywhere(cli: Cli, where: str) -> None:
    """Also for what is wrong with the settings themselves; a flag has the last word."""
    cli.env["BATCHER_RATE"] = "-3"
    if where == "environment":
        cli.env["BATCHER_LOG_FORMAT"] = "JSON"
    elif where == ".env":
        (cli.folder / ".env").write_text("BATCHER_LOG_FORMAT=json\n")
    else:
        (cli.folder / "batcher.toml").write_text('log_format = "json"\n')
    [event] = events(await cli("status"))
    assert "BATCHER_RATE" in event["text"]
    text = await cli("status", "--log-format", "text")
    assert text.stderr.startswith("batcher: BATCHER_RATE -3")
    wrong = await cli("status", "--log-format", "xml")
    assert wrong.code == 2
    assert "give text or json" in wrong.stderr


def test_every_command_that_can_be_quiet_can_write_for_programs() -> None:
    """``-q`` and ``--log-format`` go together, everywhere."""
    flags = {
        name: {flag for param in one.params for flag in param.opts} for name, one in EVERY_COMMAND.items()
    }
    quiet = {name for name, own in flags.items() if "--quiet" in own}
    assert "run" in quiet
    assert quiet == {name for name, own in flags.items() if "--log-format" in own}


# -- secrets in records of libraries ------------------------------------------------------------------

DRIVER = """
import asyncio, gc, logging, os, sys, threading, warnings
from aiohttp import ClientSession
from aiohttp.test_utils import RawTestServer
from sqlalchemy import create_engine, text
from batcher.api import status
from batcher.cli import main
from batcher.errors import StdoutClosed

SECRET, SIGNED = os.environ["BATCHER_SERVER_SECRET"], os.environ["SIGNED"]
LEAK = f"{SIGNED} with {SECRET}"


async def aiohttp_server():
    async def answer(request):
        raise RuntimeError(LEAK)

    async with RawTestServer(answer) as server, ClientSession() as session:
        async with session.get(server.make_url("/")) as response:
            await response.read()


async def sqlalchemy():
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("SELECT :url, :secret"), {"url": SIGNED, "secret": SECRET})
    engine.dispose()


async def asyncio_task():
    async def fail():
        raise RuntimeError(LEAK)

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()


async def thread():
    def fail():
        raise RuntimeError(LEAK)

    one = threading.Thread(target=fail)
    one.start()
    one.join()


async def unraisable():
    class Bad:
        def __del__(self):
            raise RuntimeError(LEAK)

    Bad()
    gc.collect()


async def warning():
    warnings.warn(LEAK)


async def broken_record():
    logging.getLogger("lib").warning("%d %s", LEAK)


async def chained():
    try:
        raise OSError(LEAK)
    except OSError as exc:
        raise ValueError(LEAK) from exc


async def ledger_status(path, *, loads):
    await globals()[os.environ["LEAKS"]]()
    raise StdoutClosed("the command ends here, with exit code 0")


status.ledger_status = ledger_status
sys.argv = ["batcher", "status", *sys.argv[1:]]
main()
"""

LEAKS = {
    "aiohttp_server": "aiohttp.server",
    "asyncio_task": "never retrieved",
    "thread": "(thread Thread-",
    "unraisable": "RuntimeError",
    "warning": "UserWarning",
    "broken_record": "what lib logs cannot be written",
    "chained": "ValueError",
}


async def drive(cli: Cli, leak: str, *args: str) -> Done:
    """``batcher status`` in which a library says too much."""
    secret = {"BATCHER_SERVER_SECRET": SANDBOX_SERVER_SECRET, "SIGNED": SIGNED, "LEAKS": leak}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(DRIVER), *args),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2]), **secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    done = Done(process.returncode or 0, out.decode(), err.decode())
    for away in (SANDBOX_SERVER_SECRET, NONCE, SIGNATURE):
        assert away not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(("leak", "words"), LEAKS.items())
async def test_log_record_of_a_library_is_redacted(cli: Cli, leak: str, words: str) -> None:
    """As JSON, and with its traceback as text under ``-v``; one plain line without it."""
    whole, plain, verbose = await asyncio.gather(
        drive(cli, leak, "-v"), drive(cli, leak), drive(cli, leak, "-v", *JSON)
    )
    assert whole.code == plain.code == verbose.code == (70 if leak == "chained" else 0)
    assert words in whole.stderr
    assert plain.stderr.count("\n") == 1
    assert plain.stderr.startswith("batcher: ")
    assert words in plain.stderr
    [event] = events(verbose)
    assert words in json.dumps(event)
    if leak not in ("warning", "broken_record"):
        for shown in (whole.stderr, event["exception"]):
            assert "Traceback" in shown
            assert "Signature=[redacted]&Timestamp=5 with [redacted]" in shown


async def test_statements_of_sqlalchemy_are_redacted(cli: Cli) -> None:
    """Its own logger shows the statements without secret values."""
    done = await drive(cli, "sqlalchemy", *JSON)
    assert done.code == 0, done.stderr
    found = [event for event in events(done) if event["event"] == "log"]
    assert {event["logger"] for event in found} == {"sqlalchemy.engine.Engine"}
    [text] = [event["text"] for event in found if "[redacted]" in event["text"]]
    assert "Action=M" in text


# -- terminals and pipes -------------------------------------------------------------------------------


@asynccontextmanager
async def hostile_service(code: int, message: str = HOSTILE) -> AsyncIterator[str]:
    """A service whose every message steers the terminal that shows it."""

    async def answer(request: web.BaseRequest) -> web.Response:
        del request
        return web.json_response({"Code": code, "Message": message, "RequestId": "r\x1b[1m"})

    async with RawTestServer(answer) as server:
        yield str(server.make_url("/"))


@pytest.mark.parametrize(("code", "exits"), [(41003, 1), (100000005, 3)])
async def test_hostile_message_controls_no_terminal(cli: Cli, code: int, exits: int) -> None:
    """Not under ``-v``, not as the reason of a halt, not in ``show`` and not in ``status``."""
    archive = cli.folder / "archive.csv"
    [one] = tencent_ids(1)
    archive.write_text(f"file_id,note\n{one},{HOSTILE.strip()}\n", "utf-8")
    async with hostile_service(code) as url:
        cli.use(url, app_id=SANDBOX_APP_ID)
        done = await cli.run(archive, *PICTURES, "-v")
        shown, status = await cli("show", one), await cli("status")
        verbose = await cli.run(*JSON, "-v")
    assert done.code == exits
    assert (shown.code, status.code) == (0, 0)
    for text in (done.stderr, shown.stdout, status.stdout, verbose.stderr):
        assert controls(text) == []
    assert "\\x1b]0;pwned\\x07" in done.stderr
    assert "\\x1b]0;pwned\\x07" in shown.stdout
    assert "\\x9b31m such\\u202efile" in shown.stdout
    events(verbose)


FORGED = "no\nforged\r\nforged\u2028forged"
"""Ends lines in several ways."""


def forged(*texts: str) -> list[str]:
    """Return the lines that a message of the service has forged."""
    lines = [line for text in texts for line in text.splitlines()]
    return [line for line in lines if line.strip().removeprefix("batcher:").strip().startswith("forged")]


@pytest.mark.parametrize("code", [41003, 2, 100000005])
async def test_message_of_several_lines_is_one_line(cli: Cli, code: int) -> None:
    """A message, a cell or a file's name forges no line in ``-v``, ``show`` or ``status``."""
    ids = tencent_ids(2)
    archive = cli.folder / "arch\nforged.csv"
    archive.write_text("".join([f'{one},"{FORGED}"\n' for one in ("file_id", *ids)]), "utf-8")
    async with hostile_service(code, FORGED) as url:
        cli.use(url, app_id=SANDBOX_APP_ID)
        done = await cli.run(archive.name, *PICTURES, "-v")
        quiet = await cli.run("-q")
    shown, status = await cli("show", ids[0], "-v"), await cli("status")
    assert forged(done.stderr, quiet.stderr, shown.stdout, status.stdout) == []
    assert done.code == (3 if code == 100000005 else 1)
    assert "no\\x0aforged\\x0d\\x0aforged\\u2028forged" in shown.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("load", "no\nforged.csv"),
        ("run", "no\nforged.csv", "--dry-run"),
        ("export", "no\nforged.csv"),
        ("export", "-o", "no\nforged/out.csv"),
        ("show", "no\nforged"),
        ("fetch", "-o", "file/no\nforged"),
        ("fetch", "-o", "out", "--recording", "no\nforged"),
        ("report", "-o", "no\nforged/out.html"),
        ("ledger", "backup", "no\nforged/copy.db"),
        ("export", "--config", "no\nforged.toml"),
    ],
    ids=lambda one: " ".join(one).replace("\n", " "),
)
async def test_name_of_several_lines_is_one_line(cli: Cli, args: tuple[str, ...]) -> None:
    """The message about a missing file or recording names it on one line."""
    (cli.folder / "file").touch()
    async with serving(cli):
        done = await cli(*args)
    assert done.code != 0
    assert "forged" in done.stderr
    assert forged(done.stdout, done.stderr) == []


async def test_pictures_address_and_a_tasks_message_are_one_line(cli: Cli) -> None:
    """Out of the answer to a poll: in ``track``, ``show`` and ``fetch``."""
    [failed, done_] = tencent_ids(2)
    tasks = TaskSettings(
        fates={failed: Fate.FAIL},
        messages={failed: FORGED},
        urls={done_: ["http://a.example/no\nforged", "no\nforged/object.jpg"]},
    )
    (cli.folder / "a.csv").write_text(f"file_id\n{failed}\n{done_}\n")
    async with serving(cli, SandboxSettings(rate_per_s=None, tasks=tasks)):
        assert (await cli.run("a.csv", *PICTURES)).code == 0
        track = await cli("track", "--progress", "none", "-v")
        again = await cli("track", "-q")
        shown = [await cli("show", one) for one in (failed, done_)]
        fetch = await cli("fetch", "-o", "out", "-v", "--progress", "none")
    assert (track.code, fetch.code) == (1, 1)
    texts = [track.stderr, again.stderr, fetch.stderr, *(one.stdout for one in shown)]
    assert forged(*texts) == []
    assert "no\\x0aforged" in shown[0].stdout
    assert "no\\x0aforged" in shown[1].stdout


async def test_output_without_a_terminal_has_no_control_characters(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """No bars, no colours, and not more than the summary of a short run, in any environment."""
    archive = manifest(tencent_ids(5))
    cli.env |= {"TERM": "xterm-256color", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    async with serving(cli):
        done = await cli("run", archive, *PICTURES, "--rate", "2000")
    assert done.code == 0
    assert controls(done.stderr) == []
    assert "5/5" not in done.stderr
    assert "Nothing is left to send." in done.stderr


OFTEN = """
import sys
from batcher.cli import main
from batcher.cli.terminal import progress
from batcher.submit import progress_reporter

progress.PLAIN_EVERY_S = progress_reporter.REPORT_S = 0.2
sys.argv = ["batcher", *sys.argv[1:]]
main()
"""


async def run_reporting(cli: Cli, archive: Path, *args: str) -> Done:
    """A run that says how far it is five times a second instead of twice a minute."""
    driver = cli.folder / "often.py"
    driver.write_text(OFTEN)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(driver), "run", str(archive), *PICTURES, "--rate", "40", *args),
        cwd=cli.folder,
        env={**cli.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert out == b""
    return Done(process.returncode or 0, "", err.decode())


async def test_progress_of_a_run_is_written_in_each_format(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A plain line at intervals as text, an event with figures as JSON, nothing with ``--progress none``."""
    async with serving(cli):
        for_people = await run_reporting(cli, manifest(tencent_ids(40, seed=1)))
        for_programs = await run_reporting(cli, manifest(tencent_ids(40, seed=2)), *JSON)
        nothing = await run_reporting(cli, manifest(tencent_ids(9, seed=3)), *JSON, "--progress", "none")
    assert for_people.code == for_programs.code == nothing.code == 0
    lines = [line for line in for_people.stderr.splitlines() if " in doubt, " in line]
    assert len(lines) > 1
    assert " of 40, " in lines[-1]
    assert controls(for_people.stderr) == []
    progress = [event for event in events(for_programs) if event["event"] == "progress"]
    assert len(progress) > 1
    assert {"total", "ended", "submitted", "pending", "sent", "now_per_s", "pace_per_s"} <= set(progress[0])
    assert progress[0]["sent"] < progress[-1]["sent"] <= 40
    assert [event for event in events(nothing) if event["event"] == "progress"] == []


async def test_json_on_a_terminal_has_no_progress_bar(cli: Cli, manifest: Callable[..., Path]) -> None:
    """On a terminal, too, each line is an object."""
    archive = manifest(tencent_ids(25))
    ours, theirs = pty.openpty()
    async with serving(cli):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "run", str(archive), *PICTURES, "--rate", "20", *JSON),
            cwd=cli.folder,
            env={**cli.env, "TERM": "xterm-256color"},
            stderr=theirs,
        )
        assert await asyncio.wait_for(process.wait(), 90) == 0
    os.close(theirs)
    said = os.read(ours, 65536).decode().replace("\r\n", "\n")
    os.close(ours)
    assert events(Done(0, "", said))[-1]["event"] == "run_finished"


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_closed_pipe_stops_no_run(
    cli: Cli, manifest: Callable[..., Path], log_format: str, stream: str
) -> None:
    """The run continues when a reader closes its pipe; exit code and the other stream are not affected."""
    archive = manifest([*(ids := tencent_ids(3)), "room-1"])
    faults = {ids[0]: Fault.parse("code:41003")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        reader, writer = os.pipe()
        os.close(reader)
        other = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "run", str(archive), *PICTURES, *FAST, "--json"),
            *("--log-format", log_format, "-v"),
            cwd=cli.folder,
            env={**cli.env, "PYTHONUNBUFFERED": ""},
            stdout=writer if stream == "stdout" else other,
            stderr=writer if stream == "stderr" else other,
        )
        os.close(writer)
        out, err = await asyncio.wait_for(process.communicate(), 90)
        assert len(sandbox.accepted()) == 2
    assert process.returncode == 1
    if stream == "stderr":
        assert json.loads(out)["exit_code"] == 1
    else:
        done = Done(1, "", err.decode())
        assert "Broken" not in done.stderr
        assert "Errno" not in done.stderr
        if log_format == "json":
            assert events(done)[-1]["event"] == "run_finished"
