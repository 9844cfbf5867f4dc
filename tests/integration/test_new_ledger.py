"""A new ledger is never made unseen: the same command in another folder would buy everything again."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from support.callbacks import SECRET_GIVEN
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids
from support.ledger_place import with_paths
from support.referee import referee
from support.terminal import shown

from batcher.flowcontrol.machine_limit import Action, LimitKey, Sender, admitted

UNASKED = {"BATCHER_NEW_LEDGER": ""}
"""As a crontab runs: the tests' own permission is taken back."""


def entries(folder: Path) -> list[str]:
    """The entries of a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.about_files
async def test_unattended_run_without_a_named_ledger_ends_with_2(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Nothing is sent and nothing is made; the message says what it would cost, and what to do."""
    archive = manifest(tencent_ids(3))
    (cli.folder / "batcher.db.lock").touch()  # what an earlier ledger leaves
    async with serving(cli, ledger_made=False) as sandbox:
        before = entries(cli.folder)
        for quiet in ([], ["-q"]):
            done = await cli("run", archive, *PICTURES, *FAST, *quiet, env=UNASKED)
            assert done.code == 2
            assert done.stderr.startswith(f"batcher: {cli.folder}/batcher.db: there is no ledger here")
            assert "would buy everything again" in done.stderr
            assert all(one in done.stderr for one in ("--ledger", "BATCHER_LEDGER", "--new-ledger"))
        (cli.folder / "batcher.db").touch()  # an empty file is no ledger either
        assert (await cli("run", archive, *PICTURES, *FAST, env=UNASKED)).code == 2
        os.unlink(cli.folder / "batcher.db")  # noqa: PTH108 - nothing blocks here
        assert entries(cli.folder) == before
        assert sandbox.log == []


@pytest.mark.about_files
@pytest.mark.parametrize(
    ("words", "env", "file"),
    [
        (("-l", "batcher.db"), {}, None),
        (("--ledger", "sqlite:///batcher.db"), {}, None),
        ((), {"BATCHER_LEDGER": "batcher.db"}, None),
        ((), {}, ("batcher.toml", 'ledger = "batcher.db"\n')),
        ((), {}, (".env", "BATCHER_LEDGER=batcher.db\n")),
        (("--new-ledger",), {}, None),
        ((), {"BATCHER_NEW_LEDGER": "true"}, None),
    ],
)
async def test_named_ledger_is_created_and_announced(
    cli: Cli,
    manifest: Callable[..., Path],
    words: tuple[str, ...],
    env: Mapping[str, str],
    file: tuple[str, str] | None,
) -> None:
    """A ledger that is named in any way, or asked for, is created; its path is printed once, also with -q."""
    archive = manifest(tencent_ids(3))
    if file:
        (cli.folder / file[0]).write_text(file[1])
    async with serving(cli, ledger_made=False) as sandbox:
        done = await cli("run", archive, *PICTURES, *FAST, "-q", *words, env=UNASKED | dict(env))
        assert (done.code, done.stderr) == (0, f"new ledger {cli.folder}/batcher.db\n")
        again = await cli("run", archive, *PICTURES, *FAST, "-q", env=UNASKED)
        assert (again.code, again.stderr) == (0, "")
        await referee(cli, sandbox)


async def test_load_makes_a_ledger_and_says_so(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Loading sends nothing, so it may; programs read it as a message."""
    archive = manifest(tencent_ids(3))
    done = await cli("load", archive, *PICTURES, "-q")
    assert (done.code, done.stderr) == (0, f"new ledger {cli.folder}/batcher.db\n")
    done = await cli("load", archive, *PICTURES, "-q", "-l", "b.db", "--log-format", "json")
    assert f'"text": "new ledger {cli.folder}/b.db"' in done.stderr
    assert (await cli("load", archive, *PICTURES, "-q", "-l", "b.db")).stderr == ""


@pytest.mark.about_files
async def test_ledger_in_place_of_a_deleted_one_is_announced_as_such(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """The lock file of the earlier ledger shows that it was here."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, ledger_made=False):
        assert (await cli.run(archive, *PICTURES)).code == 0
        os.unlink(cli.folder / "batcher.db")  # noqa: PTH108 - nothing blocks here
        done = await cli.run(archive, *PICTURES)
        assert f"new ledger {cli.folder}/batcher.db (the lock file of an earlier one was here" in done.stderr


async def test_run_on_a_terminal_creates_a_ledger(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The user sees where it is created."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, ledger_made=False):
        code, terminal = await shown(
            cli, "run", archive, *PICTURES, *FAST, columns=200, BATCHER_NEW_LEDGER="", TERM="dumb"
        )
    assert code == 0
    assert f"new ledger {cli.folder}/batcher.db" in with_paths(terminal.text.replace("\n  ", ""))


async def test_dry_run_tells_of_the_ledger_that_a_run_would_make(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Without a ledger it works, and names the place."""
    done = await cli("run", manifest(tencent_ids(3)), *PICTURES, "--dry-run", env=UNASKED)
    assert done.code == 0
    assert f"There is no ledger yet: a run creates {cli.folder}/batcher.db." in done.stderr


@pytest.mark.about_files
@pytest.mark.parametrize(
    "text", ["batcher.db\r", '"batcher.db"', "'batcher.db'", "batcher.db ", "\ufeffa.db"]
)
@pytest.mark.parametrize("how", ["flag", "environment", "configuration", "url"])
async def test_path_with_stray_characters_is_refused(
    cli: Cli, manifest: Callable[..., Path], text: str, how: str
) -> None:
    """Quotes and blanks from an editor or a file of variables give exit code 2, and create no file."""
    archive = manifest(tencent_ids(3))
    words: tuple[str, ...] = ()
    env: dict[str, str] = {}
    if how == "flag":
        words = ("--ledger", text)
    elif how == "url":
        words = ("--ledger", f"sqlite:///{text}")
    elif how == "environment":
        env = {"BATCHER_LEDGER": text}
    else:
        escaped = text.replace('"', '\\"').replace("\r", "\\r")
        (cli.folder / "batcher.toml").write_text(f'ledger = "{escaped}"\n', "utf-8")
    before = entries(cli.folder)
    for command in (("run", archive, *PICTURES), ("load", archive, *PICTURES), ("status",)):
        done = await cli(*command, *words, env=env)
        assert (done.code, "the path " in done.stderr) == (2, True), done.stderr
    assert entries(cli.folder) == before


@pytest.mark.parametrize(
    "name", ["SERVER_SECRET_FILE", "CALLBACK_SECRET_FILE", "METRICS_FILE", "NOTIFY_FILE", "LISTEN_CERT"]
)
async def test_quoted_path_of_any_setting_is_refused(cli: Cli, name: str) -> None:
    """A quoted path of any other setting gives exit code 2 as well."""
    done = await cli("status", env={f"BATCHER_{name}": '"/tmp/x"'})
    assert (done.code, f"BATCHER_{name}" in done.stderr, "quotation marks" in done.stderr) == (2, True, True)


@pytest.mark.parametrize(
    "words", [(), ("--track",), ("--metrics-file", "run.prom")], ids=["run", "run --track", "metrics"]
)
async def test_refused_run_leaves_nothing_behind(
    cli: Cli, manifest: Callable[..., Path], words: tuple[str, ...]
) -> None:
    """Another run uses the limit of the AppId (5), or the port of the metrics is taken (2)."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, ledger_made=False) as sandbox:
        key = LimitKey.of(int(cli.env["BATCHER_APP_ID"]), Action.SUBMIT, cli.env["BATCHER_ENDPOINT"])
        before = entries(cli.folder)
        async with admitted(key, Sender.of(cli.folder / "first.db", "batcher run", 20)):
            busy = await cli("run", archive, *PICTURES, "-l", "second.db", *words)
        assert (busy.code, "another run uses the limit" in busy.stderr) == (5, True), busy.stderr
        assert "new ledger" not in busy.stderr
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = str(taken.getsockname()[1])
            refused = await cli("run", archive, *PICTURES, "-l", "second.db", *words, "--metrics-port", port)
        assert (refused.code, "cannot be listened on" in refused.stderr) == (2, True), refused.stderr
        assert entries(cli.folder) == before
        assert sandbox.log == []
        done = await cli.run(archive, *PICTURES, "-l", "second.db")
        assert f"new ledger {cli.folder}/second.db\n" in done.stderr  # without a word of an earlier one


async def test_refused_listener_leaves_nothing_behind(cli: Cli) -> None:
    """Its port is taken, and the ledger for new recordings was to be created."""
    async with serving(cli, ledger_made=False):
        before = entries(cli.folder)
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = str(taken.getsockname()[1])
            words = ("--submit-new", "--definition", "10", "--offset", "1", "-l", "new.db", "--port", port)
            done = await cli("listen", *words, env=SECRET_GIVEN)
        assert (done.code, "cannot be listened on" in done.stderr) == (2, True), done.stderr
        assert entries(cli.folder) == before


async def test_mistyped_app_id_does_not_bind_the_ledger(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A run that the service refuses leaves the ledger free; the next one, with the right AppId, binds it."""
    archive = manifest(tencent_ids(4))
    async with serving(cli) as sandbox:
        wrong = await cli("run", archive, *PICTURES, *FAST, env={"BATCHER_APP_ID": "4711"})
        assert wrong.code == 3
        assert (await cli.status())["app_id"] is None
        assert (await cli.run(archive, *PICTURES)).code == 0
        assert (await cli.status())["app_id"] == int(cli.env["BATCHER_APP_ID"])
        refused = await cli("run", env={"BATCHER_APP_ID": "4711"})
        assert (refused.code, "belongs to AppId" in refused.stderr, "rehears" in refused.stderr) == (
            2,
            True,
            False,
        )
        elsewhere = await cli("run", env={"BATCHER_ENDPOINT": "https://rtc-api.zego.im/"})
        assert (elsewhere.code, "rehearsed" in elsewhere.stderr, "AppId" in elsewhere.stderr) == (
            2,
            True,
            False,
        )
        assert len(sandbox.accepted()) == 4
