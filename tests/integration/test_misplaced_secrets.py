"""A secret in the wrong place, or in quotation marks: the problem is reported, the value is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids

SECRET = "c0ffee0123456789abcdef0123456789"  # noqa: S105 - made up
MISPLACED = "BATCHER_APP_ID and BATCHER_SERVER_SECRET may have been exchanged"

COMMANDS = [["run", "archive.csv", *PICTURES], ["check"], ["check", "--json"], ["run", "archive.csv", "-v"]]

VARIABLES = (
    *("BATCHER_APP_ID", "BATCHER_SERVER_SECRET_FILE", "BATCHER_ENDPOINT", "BATCHER_RATE", "BATCHER_IN_DOUBT"),
    *("BATCHER_VENDOR", "BATCHER_DEFINITION", "BATCHER_MAX_BYTES"),
)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
async def test_exchanged_app_id_and_secret_show_neither(
    cli: Cli, manifest: Callable[..., Path], args: list[str]
) -> None:
    """The message says that they may have been exchanged, and shows no secret."""
    manifest(tencent_ids(1))
    async with serving(cli) as sandbox:
        cli.secret = SECRET
        cli.env |= {"BATCHER_APP_ID": SECRET, "BATCHER_SERVER_SECRET": "1234567890"}
        done = await cli(*args)
    assert done.code == 2, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert MISPLACED in " ".join((done.stdout + done.stderr).split())
    assert sandbox.accepted() == {}


@pytest.mark.parametrize("variable", VARIABLES)
async def test_secret_in_any_variable_never_shows(
    cli: Cli, manifest: Callable[..., Path], variable: str
) -> None:
    """A secret given for any setting is repeated in no message of any command."""
    manifest(tencent_ids(1))
    async with serving(cli):
        cli.secret = SECRET
        cli.env |= {"BATCHER_SERVER_SECRET": "", variable: SECRET}
        for args in COMMANDS[:2]:
            done = await cli(*args)
            assert done.code == 2, (args, done.stderr)
            assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("place", [".env", "batcher.toml"])
async def test_secret_as_app_id_in_a_file_never_shows(
    cli: Cli, manifest: Callable[..., Path], place: str
) -> None:
    """A secret in the wrong place of a file of settings is not shown either."""
    manifest(tencent_ids(1))
    async with serving(cli):
        del cli.env["BATCHER_APP_ID"]
        cli.secret = SECRET
        text = f"BATCHER_APP_ID={SECRET}\n" if place == ".env" else f'app_id = "{SECRET}"\n'
        (cli.folder / place).write_text(text)
        for args in COMMANDS[:2]:
            done = await cli(*args)
            assert done.code == 2, (args, done.stderr)
            assert SECRET not in done.stdout + done.stderr
    (cli.folder / place).unlink()  # so that the fixture's own look at all files finds none


@pytest.mark.parametrize("mark", ['"', "'", "`"])
@pytest.mark.parametrize("how", ["variable", "file", "callback"])
async def test_secret_in_quotation_marks_is_reported(
    cli: Cli, manifest: Callable[..., Path], how: str, mark: str
) -> None:
    """Marks that `docker --env-file` leaves on a value are named, and nothing is sent."""
    manifest(tencent_ids(1))
    quoted = f"{mark}{SECRET}{mark}"
    async with serving(cli) as sandbox:
        cli.secret = SECRET
        if how == "file":
            (cli.folder / "secret.txt").write_text(quoted + "\n")
            cli.env |= {"BATCHER_SERVER_SECRET": "", "BATCHER_SERVER_SECRET_FILE": "secret.txt"}
        else:
            cli.env["BATCHER_SERVER_SECRET" if how == "variable" else "BATCHER_CALLBACK_SECRET"] = quoted
        done = await cli("run", "archive.csv", *PICTURES)
    assert done.code == 2, done.stderr
    assert "in quotation marks" in done.stderr
    assert SECRET not in done.stderr
    assert sandbox.log == []


async def test_app_id_in_quotation_marks_is_reported(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The same for the AppId."""
    manifest(tencent_ids(1))
    async with serving(cli):
        done = await cli("run", "archive.csv", *PICTURES, env={"BATCHER_APP_ID": '"1234567890"'})
    assert done.code == 2
    assert "give a whole number, without quotation marks" in done.stderr
