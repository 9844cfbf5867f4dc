"""Refusals without a code in the summary and in ``status``: counted by HTTP status, next to the codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import PICTURES, Cli, serving, tencent_ids
from support.ledger_place import ledger_option, with_paths

from batcher.sandbox import Fault, SandboxSettings

Manifest = Callable[..., Path]
FORBIDDEN, GONE, WRONG, CONFIGURED = map(Fault.parse, ("http:403", "http:404", "code:2", "code:5"))


def spoiled(**faults: Fault) -> SandboxSettings:
    """A service that spoils the recordings with these numbers."""
    by_file = {tencent_ids(10)[int(number.strip("n"))]: fault for number, fault in faults.items()}
    return SandboxSettings(rate_per_s=None, by_file=by_file)


async def test_refusals_without_a_code_are_counted_beside_the_codes(cli: Cli, manifest: Manifest) -> None:
    """A run that meets HTTP 403 and 404 names both, with what to check; so does ``status``, JSON included."""
    async with serving(cli, spoiled(n1=FORBIDDEN, n4=FORBIDDEN, n6=GONE, n8=WRONG)):
        done = await cli.run(manifest(tencent_ids(10)), *PICTURES, "--concurrency", "1")
        assert done.code == 1
        again = await cli.run("--json")
        quiet = await cli.run("-q")
    lines = [line.split(maxsplit=4) for line in done.stderr.splitlines() if line.startswith("  HTTP ")]
    assert [line[:3] for line in lines] == [["HTTP", "403", "2"], ["HTTP", "404", "1"]]
    assert "BATCHER_ENDPOINT" in done.stderr
    assert "code 2 " in done.stderr
    found = json.loads(again.stdout)
    assert (found["codes"], found["http_refusals"]) == ({"2": 1}, {"403": 2, "404": 1})
    assert (again.code, quiet.code, "HTTP 403" in quiet.stderr) == (0, 0, False)  # reported once
    status, people = await cli.status(), await cli("status")
    assert (status["codes"], status["http_refusals"]) == ({"2": 1}, {"403": 2, "404": 1})
    assert "HTTP 403 2 × refused without a return code" in " ".join(people.stdout.split())


async def test_quiet_run_names_new_refusals_alone(cli: Cli, manifest: Manifest) -> None:
    """What an earlier run has reported is not named again, and ``retry`` empties the count."""
    first, second = tencent_ids(2)
    async with serving(cli, SandboxSettings(by_file={first: FORBIDDEN, second: GONE})):
        assert "HTTP 403" in (await cli.run(manifest([first]), *PICTURES, "-q")).stderr
        later = (await cli.run(manifest([second], name="later.csv"), *PICTURES, "-q")).stderr
        assert ("HTTP 404" in later, "HTTP 403" in later) == (True, False)
        assert (await cli("retry")).code == 0
    assert (await cli.status())["http_refusals"] == {}


async def test_halted_run_shows_the_refusals_of_submissions_still_to_send(
    cli: Cli, manifest: Manifest
) -> None:
    """HTTP 403 to everything halts: nothing has ended, and ``status`` still says what came back."""
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        sandbox.outage_fault, sandbox.outage = FORBIDDEN, True
        assert (await cli.run(manifest(tencent_ids(20)), *PICTURES)).code == 3
    status = await cli.status()
    assert status["submissions"]["pending"] > 0
    assert status["http_refusals"]["403"] >= 3


@pytest.mark.parametrize(("fault", "shown"), [(CONFIGURED, True), (WRONG, False)])
async def test_summary_names_show_where_support_asks_for_a_request_id(
    cli: Cli, manifest: Manifest, fault: Fault, shown: bool
) -> None:
    """A run has submissions to show: the summary says where their RequestIds are."""
    async with serving(cli, spoiled(n3=fault)):
        done = await cli.run(manifest(tencent_ids(10)), *PICTURES, "--concurrency", "1")
    assert done.code == 1
    option = ledger_option(cli.folder / "batcher.db").replace("'", "")
    said = " ".join(done.stderr.replace("'", "").split())
    assert (f"`batcher show{with_paths(option)} FILE_ID` prints the RequestIds" in said) is shown


async def test_halted_run_names_the_request_id_that_support_asks_for(cli: Cli, manifest: Manifest) -> None:
    """The reason holds the RequestId, and so does the finding of ``check``, which has nothing to show."""
    async with serving(cli, SandboxSettings(rate_per_s=None, account_code=5)):
        halted = await cli.run(manifest(tencent_ids(3)), *PICTURES, "--concurrency", "1")
        checked = await cli("check")
    assert halted.code == 3
    for text in (halted.stderr, checked.stdout + checked.stderr):
        [named] = re.findall(r"RequestId of the answer \(([0-9a-f-]{36})\)", " ".join(text.split()))[:1]
        assert named
    assert "batcher show" not in checked.stdout + checked.stderr
