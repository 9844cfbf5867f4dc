"""Notifications and pings of a run, to hooks that answer, refuse, hang or are gone."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.cli import FAST, PICTURES, Cli, Done, serving, tencent_ids, until
from support.ledger_place import name_of
from support.ledger_sql import query

from batcher.sandbox import Fate, Fault, SandboxSettings, TaskSettings
from batcher.telemetry.notifications import HookCalls, NotifyOn, is_notified, ping, ping_at

Manifest = Callable[..., Path]

IDS = tencent_ids(4)
TOKEN = "T0K3N-of-a-channel"  # noqa: S105 - of a hook that does not exist
CHECK = "4c1e9a52-check-uuid"
ONE_MISSING = SandboxSettings(rate_per_s=None, by_file={IDS[0]: Fault.parse("code:41003")})


@dataclass
class Hooks:
    """A server in the roles of the notification services and of the monitor that is pinged."""

    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Method and path, in the order of arrival."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, paths that begin with ``/hang`` get no answer."""

    @property
    def apprise(self) -> str:
        """As an address for apprise."""
        return f"json{self.url.removeprefix('http')}/{TOKEN}"

    @property
    def check(self) -> str:
        """As an address to ping."""
        return f"{self.url}/{CHECK}"

    @property
    def pings(self) -> list[str]:
        """The suffixes of the pinged addresses."""
        return [path.removeprefix(f"/{CHECK}") for method, path in self.calls if method == "GET"]

    async def answer(self, request: web.Request) -> web.Response:
        """Keep a call, and answer it or not."""
        self.calls.append((request.method, request.path_qs))
        if request.method == "POST":
            self.notes.append(await request.json())
        if request.path.startswith("/hang"):
            await self.release.wait()
        return web.Response(status=self.status)


@asynccontextmanager
async def listening() -> AsyncIterator[Hooks]:
    """Hooks on a free port of this machine."""
    hooks = Hooks()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", hooks.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        hooks.url = f"http://{host}:{port}"
        yield hooks
    finally:
        hooks.release.set()
        await runner.cleanup()


@pytest.fixture
async def hooks(cli: Cli) -> AsyncIterator[Hooks]:
    """Hooks that the command line knows by both settings."""
    async with listening() as opened:
        cli.env |= {"BATCHER_NOTIFY": opened.apprise, "BATCHER_PING_URL": opened.check}
        yield opened


def warnings(done: Done) -> list[str]:
    """Return the warnings of a command; its output holds no address."""
    assert TOKEN not in done.stdout + done.stderr
    assert CHECK not in done.stdout + done.stderr
    assert "Failed to send" not in done.stderr, "the library's own words"
    return [line for line in done.stderr.splitlines() if line.startswith("batcher: warning: BATCHER_")]


async def test_successful_run_is_pinged_and_not_notified(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """Start and success are pinged; there is no notification."""
    async with serving(cli):
        done = await cli.run(manifest(IDS), *PICTURES)
    assert (done.code, warnings(done)) == (0, [])
    assert hooks.pings == ["/start", ""]
    assert hooks.notes == []


async def test_new_problems_are_notified_in_one_line(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """The notification has the event, the figures, the remedy and the place; the ping has the exit code."""
    async with serving(cli, ONE_MISSING):
        done = await cli.run(manifest(IDS), *PICTURES)
    assert (done.code, warnings(done)) == (1, [])
    assert hooks.pings == ["/start", "/1"]
    assert [note["title"] for note in hooks.notes] == ["batcher: done, with new problems (exit code 1)"]
    message = hooks.notes[0]["message"]
    assert message.startswith("All submissions were sent; some need your attention. ")
    assert "This run: 3 submitted, 1 rejected; 0 left to send." in message
    assert "batcher status" in message
    assert f"ledger {name_of(cli.folder / 'batcher.db')}." in message
    assert "\n" not in message
    assert hooks.notes[0]["type"] == "failure"


async def test_halt_is_notified_with_its_reason(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """Wrong credentials are notified with their code and remedy, and never with the secret."""
    cli.env["BATCHER_NOTIFY_ON"] = "halt"
    async with serving(cli):
        wrong = "f" * 32
        cli.env["BATCHER_SERVER_SECRET"] = wrong
        done = await cli.run(manifest(IDS), *PICTURES)
    assert done.code == 3
    assert hooks.pings == ["/start", "/3"]
    assert hooks.notes[0]["title"] == "batcher: halted (exit code 3)"
    assert "Code 100000005: the signature is wrong" in hooks.notes[0]["message"]
    assert "4 left to send" in hooks.notes[0]["message"]
    assert wrong not in json.dumps(hooks.notes)


async def test_failure_before_a_run_begins_is_notified(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """Wrong settings, an unusable manifest, a missing ledger and a held one are each notified."""
    async with serving(cli, ledger_made=False):
        assert (await cli("run", "--rate", "-1")).code == 2
        assert (await cli.run("gone.csv", *PICTURES)).code == 2
        assert (await cli.run()).code == 6
    titles = [note["title"] for note in hooks.notes]
    assert titles[:2] == ["batcher: could not run (exit code 2)"] * 2
    assert titles[2] == "batcher: the ledger cannot be used (exit code 6)"
    assert "--rate -1" in hooks.notes[0]["message"]
    assert "gone.csv" in hooks.notes[1]["message"]
    assert hooks.pings == ["/start", "/2", "/start", "/2", "/start", "/6"]
    hanging = SandboxSettings(rate_per_s=None, by_file={IDS[0]: Fault.parse("hang")})
    hooks.notes.clear()
    async with serving(cli, hanging) as sandbox:
        quiet = {"BATCHER_NOTIFY_ON": "never", "BATCHER_PING_URL": "", "BATCHER_GRACE": "0"}
        first = await cli.start("run", manifest(IDS), *PICTURES, *FAST, env=quiet)
        await until(lambda: len(sandbox.log) == 4)
        assert (await cli.run("--alone")).code == 5
        first.send_signal(signal.SIGTERM)
        assert (await cli.finish(first)).code == 143
    assert [note["title"] for note in hooks.notes] == ["batcher: another run holds the ledger (exit code 5)"]
    assert f"process {first.pid}" in hooks.notes[0]["message"]


async def test_end_of_a_window_is_not_a_failure(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """Work left under ``--limit`` is no failure: the ping is that of a success."""
    async with serving(cli):
        done = await cli.run(manifest(IDS), *PICTURES, "--limit", "2")
        assert (done.code, hooks.pings, hooks.notes) == (4, ["/start", ""], [])
        cli.env["BATCHER_NOTIFY_ON"] = "always"
        assert (await cli.run("--limit", "1")).code == 4
        assert (await cli.run()).code == 0
    assert [(note["title"], note["type"]) for note in hooks.notes] == [
        ("batcher: stopped with work left (exit code 4)", "warning"),
        ("batcher: all done (exit code 0)", "success"),
    ]
    assert "1 submitted; 1 left to send." in hooks.notes[0]["message"]


async def test_notify_on_never_sends_nothing(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """``BATCHER_NOTIFY_ON=never`` keeps still; the monitor is another matter."""
    cli.env["BATCHER_NOTIFY_ON"] = "never"
    async with serving(cli, ONE_MISSING):
        assert (await cli.run(manifest(IDS), *PICTURES)).code == 1
    assert hooks.notes == []
    assert hooks.pings == ["/start", "/1"]


async def test_dry_run_and_readers_send_no_notification(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """They are used interactively."""
    cli.env["BATCHER_NOTIFY_ON"] = "always"
    async with serving(cli):
        assert (await cli("run", manifest(IDS), *PICTURES, "--dry-run")).code == 0
        await cli.status()
        await cli.export()
    assert hooks.calls == []


async def test_load_is_notified_like_a_run(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """Under its own name: rows loaded, rows that cannot be sent, a manifest that is missing."""
    async with serving(cli):
        assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
        assert (hooks.pings, hooks.notes) == (["/start", ""], [])
        bad = await cli("load", manifest([*IDS, "room-1", "room-2"], "bad.csv"), *PICTURES)
        gone = await cli("load", "gone.csv", *PICTURES)
        cli.env["BATCHER_NOTIFY_ON"] = "always"
        assert (await cli("load", manifest(tencent_ids(9), "more.csv"), *PICTURES)).code == 0
    assert (bad.code, gone.code) == (1, 2)
    assert warnings(bad) == warnings(gone) == []
    assert hooks.pings == ["/start", "", "/start", "/1", "/start", "/2", "/start", ""]
    assert [(note["title"], note["type"]) for note in hooks.notes] == [
        ("batcher load: done, with new problems (exit code 1)", "failure"),
        ("batcher load: could not run (exit code 2)", "failure"),
        ("batcher load: all done (exit code 0)", "success"),
    ]
    first, second, third = (note["message"] for note in hooks.notes)
    assert first.startswith(
        "All was loaded, but there are rows that cannot be sent. This load: 0 new submissions, "
        "2 new invalid rows; 4 left to send. Host "
    )
    assert f"ledger {name_of(cli.folder / 'batcher.db')}." in first
    assert "batcher status" in first
    assert "gone.csv" in second
    assert third.startswith(f"All was loaded. This load: {9 - len(set(IDS) & set(tencent_ids(9)))} new ")


async def test_tracking_is_notified_like_a_run(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """New failures are notified once, with the figures; tasks that have not ended in time are no failure."""
    fates = {IDS[0]: Fate.FAIL, IDS[1]: Fate.ENDLESS}
    async with serving(cli, SandboxSettings(rate_per_s=None, tasks=TaskSettings(fates=fates))):
        assert (await cli("load", manifest(IDS), *PICTURES)).code == 0
        within = await cli("run", *FAST, "--track", "--track-timeout", "3s")
        assert (within.code, hooks.notes) == (4, [])
        ended = await cli("track", "--rate", "2000", "--give-up", "1s")
        again = await cli("track", "--rate", "2000")
    assert (ended.code, again.code) == (1, 0)
    assert hooks.pings == ["/start", "", "/start", "", "/start", "/1", "/start", ""]
    [note] = hooks.notes
    assert note["title"] == "batcher track: done, with new problems (exit code 1)"
    assert "1 failed, 1 unknown tasks. Tasks: 2 finished, 1 failed, 1 unknown. Host" in note["message"]


async def test_stopped_load_is_notified_and_keeps_its_rows(cli: Cli, hooks: Hooks) -> None:
    """A signal stops it gracefully, with its exit code; the same command resumes it."""
    async with serving(cli):
        process = await cli.start("load", "-", *PICTURES)
        assert process.stdin is not None
        rows = "".join(f"{one}\n" for one in tencent_ids(15_000))
        process.stdin.write(f"file_id\n{rows}".encode())
        await process.stdin.drain()
        ledger = cli.folder / "batcher.db"
        await until(lambda: query(ledger, "SELECT count(*) FROM submissions")[0][0] >= 10_000)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 143
        status = await cli.status()
    assert "stopped while loading; what was read is kept" in said
    assert status["submissions"]["pending"] >= 10_000
    assert [load["unfinished"] for load in status["loads"]] == [True]
    assert hooks.pings == ["/start", "/143"]
    [note] = hooks.notes
    assert note["title"] == "batcher load: stopped by a signal (exit code 143)"
    assert note["message"].endswith("Resume: the same batcher load again")


async def test_retry_is_notified_and_not_pinged(cli: Cli, manifest: Manifest, hooks: Hooks) -> None:
    """It submits nothing, so the monitor of the night's work is not pinged."""
    async with serving(cli, ONE_MISSING):
        quiet = {"BATCHER_NOTIFY_ON": "never", "BATCHER_PING_URL": ""}
        assert (await cli("run", manifest(IDS), *PICTURES, *FAST, env=quiet)).code == 1
        assert (await cli("retry", "--state", "lost")).code == 2
        assert (await cli("retry")).code == 0
        cli.env["BATCHER_NOTIFY_ON"] = "always"
        assert (await cli("retry")).code == 0
        assert (await cli("retry", "-l", "elsewhere.db")).code == 6
    assert hooks.pings == []
    assert [note["title"] for note in hooks.notes] == [
        "batcher retry: could not run (exit code 2)",
        "batcher retry: all done (exit code 0)",
        "batcher retry: the ledger cannot be used (exit code 6)",
    ]
    assert "--state lost" in hooks.notes[0]["message"]
    assert hooks.notes[1]["message"].startswith("0 submissions back in the queue. Host ")
    assert hooks.notes[2]["message"].endswith("Fix this, then resume: the same batcher retry again")


async def test_every_address_is_called_and_failures_are_named_once(
    cli: Cli, manifest: Manifest, hooks: Hooks
) -> None:
    """One refuses, one means nothing, one is gone: the others are called, and the exit code stays."""
    async with listening() as refusing, serving(cli, ONE_MISSING):
        refusing.status = 403
        path = cli.folder / "hooks.txt"
        path.write_text(
            f"# addresses\n{hooks.apprise} nonsense://{TOKEN}/x\n{refusing.apprise}\njson://127.0.0.1:9/{TOKEN}\n"
        )
        del cli.env["BATCHER_NOTIFY"]
        cli.env |= {"BATCHER_NOTIFY_FILE": str(path), "BATCHER_PING_URL": refusing.check}
        done = await cli.run(manifest(IDS), *PICTURES)
    assert done.code == 1
    assert len(hooks.notes) == len(refusing.notes) == 1
    assert refusing.pings == ["/start", "/1"]
    assert sorted(warnings(done)) == [
        "batcher: warning: BATCHER_NOTIFY_FILE, URL 2 (nonsense): apprise does not understand it, and no "
        "notification will go there; correct it",
        "batcher: warning: BATCHER_NOTIFY_FILE, URL 3 (json): the notification was not sent: HTTP 403. "
        "The run is not affected",
        "batcher: warning: BATCHER_NOTIFY_FILE, URL 4 (json): the notification was not sent: it could not be "
        "delivered. The run is not affected",
        "batcher: warning: BATCHER_PING_URL: the ping did not arrive: HTTP 403. The run is not affected",
    ]


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("BATCHER_NOTIFY_FILE", "nowhere.txt", "/nowhere.txt: there is no such file"),
        ("BATCHER_NOTIFY_FILE", "empty.txt", "BATCHER_NOTIFY_FILE: empty.txt: it holds no URL"),
        ("BATCHER_PING_URL", "http://127.0.0.1:9/" + CHECK, "the ping did not arrive: Connection refused"),
    ],
)
async def test_unusable_notification_settings_give_a_warning_and_the_run_continues(
    cli: Cli, manifest: Manifest, setting: str, value: str, said: str
) -> None:
    """One warning each, and exit code 0."""
    (cli.folder / "empty.txt").write_text("# none yet\n")
    cli.env[setting] = value
    async with serving(cli):
        done = await cli.run(manifest(IDS), *PICTURES)
    assert done.code == 0
    assert len(warnings(done)) == 1
    assert said in warnings(done)[0]


@pytest.mark.parametrize("name", ["notify", "ping_url"])
async def test_addresses_are_refused_in_the_file_of_settings_and_on_the_command_line(
    cli: Cli, name: str
) -> None:
    """Both would show them to others; what is refused is not repeated."""
    (cli.folder / "batcher.toml").write_text(f'{name} = "https://example.invalid/{TOKEN}"\n')
    done = await cli("run")
    assert done.code == 2
    assert f"batcher.toml: {name}: " in done.stderr
    assert f"is not accepted in this file; set BATCHER_{name.upper()}" in done.stderr
    assert TOKEN not in done.stderr
    (cli.folder / "batcher.toml").unlink()
    assert (await cli("run", f"--{name.replace('_', '-')}", "x")).code == 2


async def test_address_that_cannot_be_pinged_is_not_shown(cli: Cli) -> None:
    """It is refused with the other settings, and ``check`` shows that it is set and no more."""
    done = await cli("run", env={"BATCHER_PING_URL": f"ftp://example.invalid/{CHECK}"})
    assert done.code == 2
    assert "BATCHER_PING_URL: give the URL of a check" in done.stderr
    assert CHECK not in done.stderr
    good = {"BATCHER_PING_URL": f"https://example.invalid/{CHECK}", "BATCHER_NOTIFY": f"slack://{TOKEN}/b/c"}
    async with serving(cli):
        checked = await cli("check", "-v", env=good)
    assert "ping_url: set" in checked.stdout
    assert "notify: set" in checked.stdout
    assert CHECK not in checked.stdout
    assert TOKEN not in checked.stdout


async def test_run_without_apprise_names_the_package_to_install(
    cli: Cli, manifest: Manifest, hooks: Hooks
) -> None:
    """A warning that names the extra; the run and its exit code are what they are without it."""
    blocked = cli.folder / "blocked" / "apprise"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('not installed')\n")
    code = f"import sys; sys.path.insert(0, {str(blocked.parent)!r}); from batcher.cli import main; main()"
    async with serving(cli, ONE_MISSING):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "run", str(manifest(IDS)), *PICTURES, *FAST),
            cwd=cli.folder,
            env=cli.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        done = await cli.finish(process)
    assert done.code == 1
    assert [line for line in warnings(done) if "pip install 'apprise>=1.9'" in line] == warnings(done) != []
    assert hooks.notes == []
    assert hooks.pings == ["/start", "/1"]


WAITS_IN_VAIN = """
import sys
from functools import partial
from batcher.telemetry.notifications import HookCalls, Note, hooks_at, ping

errands = HookCalls()
errands.begin("ping", partial(ping, sys.argv[1] + "/hang/ping", "batcher"))
hook = hooks_at(["json" + sys.argv[1].removeprefix("http") + "/hang/note"])[0]
errands.begin("note", partial(hook, Note("title", "body", "failure")))
print(*errands.wait(float(sys.argv[2])), sep="\\n")
"""


async def test_hanging_hook_does_not_delay_the_end(cli: Cli) -> None:
    """The waiting has an end, and so has the process, while both hooks still hang."""
    async with listening() as hooks:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WAITS_IN_VAIN, hooks.url, "0.5"),
            env=cli.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert len(hooks.calls) == 2, "both were called"
        assert not hooks.release.is_set()
    assert out.decode().splitlines() == ["ping: no answer within 0.5 s", "note: no answer within 0.5 s"]
    assert err.decode() == ""
    assert process.returncode == 0


async def test_pings_of_one_check_keep_their_order() -> None:
    """The ping of the end is not sent before that of the start, even if that is slow."""
    async with listening() as hooks:
        errands = HookCalls()
        errands.begin("ping", lambda: ping(f"{hooks.url}/hang/start", "batcher"))
        errands.begin("ping", lambda: ping(f"{hooks.url}/hang", "batcher"))
        assert await asyncio.to_thread(errands.wait, 0.3) == ["ping: no answer within 0.3 s"]
        assert hooks.calls == [("GET", "/hang/start")]
        hooks.release.set()
        await asyncio.to_thread(errands.wait)
    assert hooks.calls == [("GET", "/hang/start"), ("GET", "/hang")]


def test_suffix_of_a_ping_address_precedes_its_query() -> None:
    """Checks named by a slug carry parameters."""
    url = "https://example.invalid/key/nightly?create=1"
    assert ping_at(url) == url
    assert ping_at(url, "start") == "https://example.invalid/key/nightly/start?create=1"
    assert ping_at("https://example.invalid/uuid/", "3") == "https://example.invalid/uuid/3"


@pytest.mark.parametrize(
    ("notify_on", "codes"),
    [
        (NotifyOn.FAILURE, {1, 2, 3, 5, 6, 70, 143}),
        (NotifyOn.HALT, {3, 6, 70}),
        (NotifyOn.ALWAYS, {0, 1, 2, 3, 4, 5, 6, 70, 130, 143}),
        (NotifyOn.NEVER, set()),
    ],
)
def test_exit_code_is_notified_by_the_table(notify_on: NotifyOn, codes: set[int]) -> None:
    """As the README's table has it; 4 without any end set means a load that was not finished."""
    all_codes = {0, 1, 2, 3, 4, 5, 6, 70, 130, 143}
    assert {code for code in all_codes if is_notified(notify_on, code, bounded=True)} == codes
    unbounded = codes | {4} if notify_on is NotifyOn.FAILURE else codes
    assert {code for code in all_codes if is_notified(notify_on, code, bounded=False)} == unbounded
