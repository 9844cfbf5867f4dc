"""The disposition of a submission for every outcome, counted at the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, until
from support.ledger_place import is_made
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import Fault, SandboxSettings

fault = Fault.parse


@dataclass(frozen=True)
class Case:
    """A recording, what goes wrong with it, and how it must end."""

    name: str
    faults: Fault | list[Fault | None] | None
    requests: int
    status: str
    code: int | None
    message: str = ""


BUSY = fault("code:1")

CASES = [
    Case("well", None, 1, "submitted", 0, "success"),
    Case("wrong parameter", fault("code:2"), 1, "rejected", 2, "input parameter error"),
    Case("wrong vendor", fault("code:4"), 1, "rejected", 4, "CDN type does not match"),
    Case("missing", fault("code:41003"), 1, "rejected", 41003, "file does not exist"),
    Case("failed", fault("code:1000"), 3, "rejected", 1000, "request failed"),
    Case("failed twice", [fault("code:1000")] * 2, 3, "submitted", 0),
    Case("unknown", fault("code:77777"), 3, "rejected", 77777, "unknown error"),
    Case("busy for good", BUSY, 5, "failed", 1, "failed, server may be busy"),
    Case("busy twice", [BUSY, BUSY], 3, "submitted", 0),
    Case("gateway for good", fault("code:100000015"), 5, "failed", 100000015),
    Case("body once", [fault("code:100000012")], 2, "submitted", 0),
    Case("each kind by itself", [BUSY, fault("code:1000"), BUSY, fault("code:1000")], 5, "submitted", 0),
    Case("not found", fault("http:404"), 3, "rejected", None, "404"),
    Case("too many", [fault("http:429:1")], 2, "submitted", 0),
    Case("unavailable", [fault("http:503:1")], 2, "submitted", 0),
    Case("too frequent", [fault("code:6")] * 4, 5, "submitted", 0),
    Case("other family", [fault("code:30002")], 2, "submitted", 0),
    Case("accepted without a name", fault("no-task-id"), 1, "in_doubt", 0),
]


def by_file(cases: list[Case], ids: list[str]) -> dict[str, Fault | list[Fault | None]]:
    """The faults of the sandbox for each recording."""
    return {one: case.faults for one, case in zip(ids, cases, strict=True) if case.faults is not None}


async def test_every_answer_has_its_disposition(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Codes and HTTP statuses end their submissions as documented, after as many tries as documented."""
    ids = tencent_ids(len(CASES))
    archive = manifest(ids)
    settings = SandboxSettings(rate_per_s=None, by_file=by_file(CASES, ids))
    async with serving(cli, settings) as sandbox:
        done = await cli("run", archive, *PICTURES, "--progress", "none", "--rate", "200", "--json")
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
        for case, row in zip(CASES, rows, strict=True):
            got = (row["status"], len(sandbox.requests_for(row["file_id"])))
            assert (case.name, *got) == (case.name, case.status, case.requests)
            if case.name != "accepted without a name":
                assert (case.name, row["code"]) == (case.name, case.code)
            assert case.message in (row["message"] or ""), case.name
        seen = len(sandbox.log)
        again = await cli.run()
        assert again.code == 0, again.stderr
        assert len(sandbox.log) == seen
    assert done.data["submissions"]["rejected"] == 6
    assert done.data["codes"].keys() >= {"2", "4", "1", "1000", "41003", "77777", "100000015"}
    assert "code 1000" in done.stderr


DOUBTS = [
    "drop-before",
    "drop-after",
    "http:500",
    "http-after:502",
    "html",
    "cut",
    "cut-json",
    "empty",
    "no-code",
    "hang-before",
    "hang",
]


async def test_missing_answer_under_hold_is_in_doubt(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Under hold an answer that is missing or unreadable means one request and the state in doubt."""
    ids = tencent_ids(len(DOUBTS) + 1)
    archive = manifest(ids)
    faults = {one: Fault.parse(kind) for one, kind in zip(ids[1:], DOUBTS, strict=True)}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli.run(archive, *PICTURES, "--in-doubt", "hold", "--timeout", "1s")
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
        states = {kind: row["status"] for kind, row in zip(DOUBTS, rows[1:], strict=True)}
        assert states == dict.fromkeys(DOUBTS, "in_doubt")
        assert rows[0]["status"] == "submitted"
        again = await cli.run("--in-doubt", "hold")
        assert again.code == 0, again.stderr
        assert {one: len(sandbox.requests_for(one)) for one in ids} == dict.fromkeys(ids, 1)
        assert query(
            cli.folder / "batcher.db", "SELECT count(*) FROM attempts WHERE outcome = 'reply_lost'"
        ) == [(len(DOUBTS),)]


async def test_missing_answer_under_retry_is_sent_again_and_recorded(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Under retry a lost answer is followed by another request, and what was paid twice is on record."""
    ids = tencent_ids(len(DOUBTS) + 10)
    archive = manifest(ids)
    faults = {one: [Fault.parse(kind)] for one, kind in zip(ids[5:], DOUBTS, strict=False)}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        done = await cli.run(archive, *PICTURES, "--timeout", "1s")
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
        assert {row["status"] for row in rows} == {"submitted"}
        expected = [2 if one in faults else 1 for one in ids]
        assert [len(sandbox.requests_for(one)) for one in ids] == expected
        assert [row["attempts"] for row in rows] == expected
        firsts = [sandbox.requests_for(one)[0].number for one in ids]
        seconds = [sandbox.requests_for(one)[1].number for one in faults]
        assert min(seconds) > max(firsts), "what is in doubt comes after all others"


async def test_accepted_submission_without_a_task_id_is_never_sent_again(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """An accepted submission without a readable task id waits for the user under both policies."""
    archive = manifest(ids := tencent_ids(2))
    faults = {ids[0]: [Fault.parse("no-task-id")]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)) as sandbox:
        assert (await cli.run(archive, *PICTURES)).code == 1
        assert (await cli.run(archive, *PICTURES)).code == 0
        assert (await cli.run()).code == 0
        assert len(sandbox.log) == 2
        assert (await cli("retry")).code == 0
        assert (await cli.run()).code == 0
        assert len(sandbox.log) == 2
        assert (await cli("retry", "--state", "in_doubt")).code == 0
        done = await cli.run()
        assert done.code == 0, done.stderr
        assert len(sandbox.log) == 3
        rows = await cli.export()  # a person asked for the second task: the referee of runs has no say here
    assert [row["status"] for row in rows] == ["submitted", "submitted"]


async def test_service_that_is_not_there_uses_up_no_tries(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Refused connections are waited out: once the service listens, all is submitted at the first try."""
    archive = manifest(tencent_ids(12))
    async with serving(cli) as sandbox:
        await sandbox.stop_listening()
        process = await cli.start("run", archive, *PICTURES, *FAST)

        def refused() -> bool:
            return bool(_attempts_not_sent(cli.folder / "batcher.db"))

        await until(refused)
        await sandbox.start_listening()
        done = await cli.finish(process)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert [(row["status"], row["attempts"]) for row in rows] == [("submitted", 1)] * 12
    used = query(
        cli.folder / "batcher.db", "SELECT sum(tries_busy + tries_unknown + tries_doubt) FROM submissions"
    )
    assert used == [(0,)]


def _attempts_not_sent(ledger: Path) -> int:
    if not is_made(ledger):
        return 0
    [(n,)] = query(ledger, "SELECT count(*) FROM attempts WHERE outcome = 'not_sent'")
    return int(n)


@pytest.mark.parametrize("code", [3, 5, 7, 100000017])
async def test_fault_of_the_account_halts(cli: Cli, manifest: Callable[..., Path], code: int) -> None:
    """The run has exit code 3 after few requests; its submissions stay pending and loading is finished."""
    archive = manifest(tencent_ids(1300))
    async with serving(cli, SandboxSettings(rate_per_s=None, account_code=code)) as sandbox:
        done = await cli("run", archive, *PICTURES, "--progress", "none", "--json")
        assert done.code == 3, done.stderr
        assert 1 <= len(sandbox.log) <= 5
        await refused_as_a_whole(cli, done.stderr, code, 1300)
        await referee(cli, sandbox)
        assert done.data["exit_code"] == 3
        sandbox.account_code = None
        later = await cli.run("--limit", "20")
        assert later.code == 4, later.stderr
        assert len(sandbox.accepted()) == 20


async def refused_as_a_whole(cli: Cli, said: str, code: int, rows: int) -> None:
    """Check the message and the ledger of a halted run."""
    assert f"code {code}" in said
    explained = (await cli("codes", str(code))).stdout
    meaning = explained.splitlines()[0].partition(": ")[2]
    assert meaning
    assert meaning in " ".join(said.split())
    status = await cli.status()
    assert status["submissions"] == {
        "total": rows,
        "pending": rows,
        "sending": 0,
        "submitted": 0,
        "rejected": 0,
        "failed": 0,
        "in_doubt": 0,
    }
    assert [load["finished"] for load in status["loads"]] == [True]


async def test_wrong_secret_halts(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Code 100000005 ends the run with 3, and its remedy names what to check."""
    archive = manifest(tencent_ids(40))
    async with serving(cli) as sandbox:
        cli.use(sandbox.url, secret="f" * 32)
        done = await cli("run", archive, *PICTURES, "--progress", "none")
        assert done.code == 3, done.stderr
        assert 1 <= len(sandbox.log) <= 5
        assert "ServerSecret" in done.stderr
        await refused_as_a_whole(cli, done.stderr, 100000005, 40)
        await referee(cli, sandbox)


async def test_seven_after_a_success_is_asked_about(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Code 7 after successes makes one harmless call; when that goes well, it was the rate."""
    archive = manifest(tencent_ids(30))
    faults = {n: Fault.parse("code:7") for n in (10, 11)}
    async with serving(cli, SandboxSettings(rate_per_s=None, script=faults)) as sandbox:
        done = await cli("run", archive, *PICTURES, "--rate", "100", "--progress", "none")
        assert done.code == 0, done.stderr
        assert 1 <= len([entry for entry in sandbox.log if not entry.file_id]) <= 3
        await referee(cli, sandbox)
    assert len(sandbox.accepted()) == 30


async def test_seven_twice_after_a_success_halts(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Credentials that are withdrawn in the midst of a run halt it."""
    archive = manifest(tencent_ids(400))
    async with serving(cli) as sandbox:
        process = await cli.start("run", archive, *PICTURES, "--rate", "50", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 5, 20)
        sandbox.account_code = 7
        done = await cli.finish(process)
        assert done.code == 3, done.stderr
        assert "code 7" in done.stderr
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted", "pending"}


@pytest.mark.parametrize("offset_s", [1e11, -1.7e9])
async def test_clock_of_the_service_that_is_off_by_decades_is_not_believed(
    cli: Cli, manifest: Callable[..., Path], offset_s: float
) -> None:
    """A service that shows the year 5195 or 1972 halts the run after its first answers."""
    archive = manifest(tencent_ids(40))
    async with serving(cli, SandboxSettings(rate_per_s=None, clock_offset_s=offset_s)) as sandbox:
        done = await cli.run(archive, *PICTURES, "--concurrency", "1")
        assert done.code == 3, done.stderr
        assert "code 100000004" in done.stderr
        assert len(sandbox.log) <= 2
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"pending"}


@pytest.mark.parametrize("offset_s", [3600.0, -86400.0])
async def test_wrong_clock_is_learned_from(cli: Cli, manifest: Callable[..., Path], offset_s: float) -> None:
    """A machine whose clock is off by more than ten minutes submits all the same."""
    archive = manifest(tencent_ids(40))
    async with serving(cli, SandboxSettings(rate_per_s=None, clock_offset_s=offset_s)) as sandbox:
        done = await cli.run(archive, *PICTURES)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert {row["status"] for row in rows} == {"submitted"}
