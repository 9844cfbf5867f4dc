"""``track`` and ``run --track``: every task's end is recorded in spite of failed polls, and reported once."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from counted import lateness, moments, most_in_a_second
from support.cli import FAST, PICTURES, Cli, Done, serving, tencent_ids, until, write_manifest
from support.ledger_sql import query
from support.referee import referee
from support.task_ages import age, write

from batcher.sandbox import ActionFaults, Fate, Fault, SandboxSettings, TaskSettings

DESCRIBE = "DescribeMediaTask"
TRACK = ("--rate", "2000", "--progress", "none")


def of_tasks(tasks: TaskSettings | None = None, **faults: object) -> SandboxSettings:
    """A sandbox without a limit, with these settings of tasks and faults of polls."""
    of_polls = {DESCRIBE: ActionFaults(**faults)} if faults else {}  # type: ignore[arg-type] # by name
    return SandboxSettings(rate_per_s=None, tasks=tasks or TaskSettings(), faults=of_polls)


async def submit(cli: Cli, ids: list[str], *more: str) -> None:
    """Submit some recordings; their tasks are not followed yet, and all of them are due."""
    write_manifest(cli.folder / "archive.csv", ([one] for one in ids))
    done = await cli.run("archive.csv", *PICTURES, *more)
    assert done.code == 0, done.stderr
    age(cli, 10)


async def whole(cli: Cli) -> None:
    """Check that the ledger is consistent."""
    done = await cli("ledger", "verify")
    assert done.code == 0, done.stdout


def reported(done: Done) -> dict[str, int]:
    """The states of tasks that a command has reported, without empty ones."""
    return {state: n for state, n in done.data["tasks"].items() if n}


@pytest.mark.speed(10)
async def test_run_with_track_follows_its_tasks_to_their_ends(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Submitted, polled, ended: pictures in order, failures reported once, and all counts agree."""
    ids = tencent_ids(12)
    archive = manifest(ids)
    fates = {ids[3]: Fate.FAIL}
    tasks = TaskSettings(fates=fates, messages={ids[3]: "cannot be decoded"})
    async with serving(cli, of_tasks(tasks)) as sandbox:
        done = await cli.run(archive, *PICTURES, "--track", "--json")
        assert done.code == 1, done.stderr
        assert reported(done) == {"finished": 11, "failed": 1}
        assert done.data["tracking"]["new"] == {"failed": 1, "unknown": 0}
        assert f"{ids[3]}, task" in done.stderr
        assert "cannot be decoded" in done.stderr
        again = await cli.run("--track", "--json")
        assert (again.code, reported(again)) == (0, reported(done))
        rows = {row["file_id"]: row for row in await cli.export()}
        shown = (await cli("show", ids[0])).stdout
        await referee(cli, sandbox)
        polls = sandbox.requests_of(DESCRIBE)
    assert len(polls) == 12
    assert rows[ids[3]]["task_state"] == "failed"
    assert (rows[ids[3]]["picture_count"], rows[ids[3]]["picture_urls"]) == (None, None)
    first = rows[ids[0]]
    urls = first["picture_urls"].split(" ")
    assert (first["task_state"], first["picture_count"], len(urls)) == ("finished", 2, 2)
    assert [url.rpartition("/")[2] for url in urls] == ["0001.jpg", "0002.jpg"]
    assert all(f"/{first['task_id']}/" in url for url in urls)
    assert "task finished (FINISH)" in shown
    assert [url for url in urls if url not in shown] == []
    assert {one: n for one, n in (await cli.status())["tasks"].items() if n} == reported(done)
    assert "Tasks of what was submitted" in (await cli("status")).stdout
    await whole(cli)


@pytest.mark.speed(10)
async def test_export_without_tracking_has_its_usual_columns(cli: Cli) -> None:
    """With tracking, three more columns precede the manifest's own."""
    archive = write_manifest(
        cli.folder / "archive.csv",
        [[one, "x", "y"] for one in tencent_ids(2)],
        ("file_id", "room", "task_state"),
    )
    async with serving(cli, of_tasks()):
        assert (await cli.run(archive, *PICTURES)).code == 0
        before = next(csv.reader((await cli("export")).stdout.splitlines()))
        assert before[15:] == ["line", "possibly_twice", "room", "task_state"]
        assert set((await cli.status())["tasks"].values()) == {0}
        assert "Tasks" not in (await cli("status")).stdout
        assert (await cli("track", *TRACK)).code == 0
        after = next(csv.reader((await cli("export")).stdout.splitlines()))
        row = (await cli.export(archive, *PICTURES))[0]
    ours = ["task_state", "picture_count", "picture_urls"]
    assert after == [*before[:17], *ours, "room", "manifest_task_state"]
    assert (row["task_state"], row["manifest_task_state"], row["room"]) == ("finished", "y", "x")


@pytest.mark.speed(10)
@pytest.mark.parametrize("format_", ["parquet", "xlsx"])
async def test_tables_have_the_state_of_tasks_too(cli: Cli, format_: str) -> None:
    """Numbers are numbers and addresses text in the formats that know the difference."""
    async with serving(cli, of_tasks()):
        await submit(cli, tencent_ids(2))
        assert (await cli("track", *TRACK)).code == 0
        assert (await cli("export", "-o", f"out.{format_}")).code == 0
    if format_ == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(cli.folder / "out.parquet").to_pylist()
    else:
        import openpyxl

        sheet = openpyxl.load_workbook(cli.folder / "out.xlsx").active
        assert sheet is not None
        head, *cells = sheet.iter_rows(values_only=True)
        table = [dict(zip(map(str, head), row, strict=True)) for row in cells]
    assert [row["picture_count"] for row in table] == [2, 2]
    assert all(row["picture_urls"].startswith("http://") for row in table)


@pytest.mark.speed(10)
async def test_huaweis_tasks_and_object_names(cli: Cli) -> None:
    """Huawei's status words, times and object names are kept; CANCELED counts as failed."""
    files = ["/record/a/1.mp4", "/record/a/2.mp4"]
    write_manifest(cli.folder / "archive.csv", ([one] for one in files))
    tasks = TaskSettings(fates={files[1]: Fate.CANCELED})
    async with serving(cli, of_tasks(tasks)):
        assert (await cli.run("archive.csv", "--vendor", "Huawei", "--interval", "30")).code == 0
        age(cli, 10)
        done = await cli("track", *TRACK, "--json")
        assert (done.code, reported(done)) == (1, {"finished": 1, "failed": 1})
        rows = {row["file_id"]: row for row in await cli.export()}
    assert rows[files[0]]["picture_urls"].startswith("record/a/snapshots/")
    columns = "status, started_at_ms IS NOT NULL, ended_at_ms >= started_at_ms"
    asked = query(cli.folder / "batcher.db", f"SELECT {columns} FROM tasks ORDER BY submission_id")  # noqa: S608
    assert asked == [("SUCCEEDED", 1, 1), ("CANCELED", 1, 1)]


FAULTS = (
    {"http:503": 0.1, "code:6": 0.1, "html": 0.05, "drop-after": 0.05, "cut": 0.05},
    {"http:429": 0.1, "code:1": 0.1, "no-code": 0.05, "drop-before": 0.05, "http:502": 0.05},
)


@pytest.mark.speed(10)
@pytest.mark.parametrize("shares", FAULTS)
async def test_failed_polls_are_repeated(cli: Cli, shares: dict[str, float]) -> None:
    """Refusals, lost connections and rubbish put a task off, and no more."""
    async with serving(cli, of_tasks(shares=shares)) as sandbox:
        await submit(cli, tencent_ids(25))
        done = await cli("track", *TRACK, "--json")
        assert done.code == 0, done.stderr
        assert reported(done) == {"finished": 25}
        assert len(sandbox.requests_of(DESCRIBE)) > 25
    await whole(cli)


async def test_hanging_poll_does_not_delay_the_others(cli: Cli) -> None:
    """A poll without an answer is repeated after its timeout."""
    async with serving(cli, of_tasks(script={1: Fault.parse("hang")})) as sandbox:
        await submit(cli, tencent_ids(5))
        done = await cli("track", *TRACK, "--timeout", "1", "--json")
        assert (done.code, reported(done)) == (0, {"finished": 5})
        assert len(sandbox.requests_of(DESCRIBE)) == 6


async def test_task_that_never_ends_is_given_up(cli: Cli) -> None:
    """After --give-up it is unknown, its message says why, and --again polls it once more."""
    ids = tencent_ids(3)
    async with serving(
        cli, of_tasks(TaskSettings(fates={ids[0]: Fate.ENDLESS, ids[1]: Fate.STUCK}))
    ) as sandbox:
        await submit(cli, ids)
        left = await cli("track", *TRACK, "--max-duration", "1s", "--json")
        assert (left.code, reported(left)) == (4, {"waiting": 1, "processing": 1, "finished": 1})
        assert "2 tasks have not ended" in left.stderr
        quiet = await cli("track", *TRACK, "--max-duration", "1s", "-q")
        assert (quiet.code, quiet.stderr) == (4, "")
        done = await cli("track", *TRACK, "--give-up", "5s", "--json")
        assert (done.code, reported(done)) == (1, {"finished": 1, "unknown": 2})
        words = {one["status"]: one["message"] for one in done.data["tracking"]["troubles"]}
        assert set(words) == {"PROCESSING", "WAITING"}
        assert all("had not ended 5 s after it was submitted" in message for message in words.values())
        asked = len(sandbox.requests_of(DESCRIBE))
        assert (await cli("track", *TRACK)).code == 0
        assert len(sandbox.requests_of(DESCRIBE)) == asked
        again = await cli("track", *TRACK, "--again", "--give-up", "5s", "--json")
        assert (again.code, reported(again)) == (1, {"finished": 1, "unknown": 2})
        assert len(sandbox.requests_of(DESCRIBE)) == asked + 2
    await whole(cli)


async def test_task_that_the_service_does_not_know_is_unknown(cli: Cli) -> None:
    """NO_TASK and Tencent's refusal are unknown; the message says how often the service answered so."""
    huawei = ["/record/forgotten/1.mp4", "/record/a/2.mp4"]
    tencent = tencent_ids(2)
    write_manifest(cli.folder / "hw.csv", ([one] for one in huawei))
    async with serving(cli, of_tasks(TaskSettings(fates={tencent[0]: Fate.FORGOTTEN}))) as sandbox:
        assert (await cli.run("hw.csv", "--vendor", "Huawei", "--interval", "30")).code == 0
        await submit(cli, tencent)
        fresh = await cli("track", *TRACK, "--max-duration", "1s", "--json")
        assert (fresh.code, reported(fresh)) == (4, {"waiting": 2, "finished": 2})
        age(cli, 100)
        more = tencent_ids(1, seed=7)  # another task that is reported shows that the service answers
        await submit(cli, more)
        done = await cli("track", *TRACK, "--json")
        assert (done.code, reported(done)) == (1, {"finished": 3, "unknown": 2})
        words = {one["file_id"]: one for one in done.data["tracking"]["troubles"]}
        asked = [one.asked_task_id for one in sandbox.requests_of(DESCRIBE)]
    assert words[huawei[0]]["status"] == "NO_TASK"
    assert "does not know this task" in words[huawei[0]]["message"]
    assert words[tencent[0]]["status"] == "code 1000"
    assert all(asked.count(one["task_id"]) >= 3 for one in words.values())
    await whole(cli)


@pytest.mark.speed(10)
async def test_refused_account_halts_polls_and_not_the_sending(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """Code 3 for polls has exit code 3 and its remedy; all submissions were sent."""
    archive = manifest(tencent_ids(8))
    async with serving(cli, of_tasks(shares={"code:3": 1.0})) as sandbox:
        done = await cli("run", archive, *PICTURES, "--rate", "4", "--progress", "none", "--track", "--json")
        assert done.code == 3, done.stderr
        assert "tasks cannot be followed: code 3" in " ".join(done.stderr.split())
        assert done.data["submissions"]["submitted"] == 8
        assert done.data["tasks"]["waiting"] == 8
        alone = await cli("track", *TRACK)
        assert (alone.code, "Code 3" in alone.stderr) == (3, True)
        await referee(cli, sandbox)


async def test_outage_of_polls_is_waited_for(cli: Cli) -> None:
    """No task is given up in an outage; at the time limit the reason names the outage."""
    async with serving(cli, of_tasks()):
        await submit(cli, tencent_ids(8))
    done = await cli("track", *TRACK, "--max-duration", "2s", "--json")
    assert done.code == 4
    assert "did not answer polls" in done.stderr
    assert done.data["tracking"]["outage"]["met"]
    quiet = await cli("track", *TRACK, "--max-duration", "2s", "-q")
    assert (quiet.code, "did not answer" in quiet.stderr) == (4, True)
    async with serving(cli, of_tasks()):
        pass
    await whole(cli)


async def test_killed_tracker_is_resumed(cli: Cli) -> None:
    """It loses nothing and repeats only polls whose results were not recorded."""
    ids = tencent_ids(120)
    async with serving(cli, of_tasks()) as sandbox:
        await submit(cli, ids)
        process = await cli.start("track", "--rate", "50", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.requests_of(DESCRIBE)) >= 40, 20)
        process.kill()
        await process.wait()
        before = len(sandbox.requests_of(DESCRIBE))
        cli.speed = 10
        await whole(cli)
        [(recorded,)] = query(
            cli.folder / "batcher.db", "SELECT n FROM task_tallies WHERE state = 'finished'"
        )
        assert 0 < recorded < 80
        done = await cli("track", *TRACK, "--json")
        assert (done.code, reported(done)) == (0, {"finished": 120})
        assert len(sandbox.requests_of(DESCRIBE)) == before + 120 - recorded
        await referee(cli, sandbox)
    await whole(cli)


async def test_killed_run_with_track_is_resumed(cli: Cli, manifest: Callable[..., Path]) -> None:
    """It sends nothing twice unknowingly, and the next run records every end."""
    archive = manifest(tencent_ids(150))
    async with serving(cli, of_tasks()) as sandbox:
        run = await cli.start("run", archive, *PICTURES, "--rate", "40", "--progress", "none", "--track")
        await sandbox.wait_for(lambda: len(sandbox.requests_of(DESCRIBE)) >= 20, 20)
        run.kill()
        await run.wait()
        assert len(sandbox.accepted()) < 150
        cli.speed = 10
        await whole(cli)
        done = await cli.run(archive, *PICTURES, "--track", "--json")
        assert (done.code, reported(done)) == (0, {"finished": 150})
        await referee(cli, sandbox)
    await whole(cli)


async def test_submission_without_its_task_id_does_not_stop_the_tracker(cli: Cli) -> None:
    """In a damaged ledger the tasks that can be followed are followed to their ends."""
    async with serving(cli, of_tasks()):
        await submit(cli, tencent_ids(3))
        broken = "UPDATE attempts SET task_id = NULL, decision = 'again' WHERE task_id IN "
        broken += "(SELECT min(task_id) FROM attempts)"
        write(cli, broken)
        done = await cli("track", *TRACK, "--json")
        assert (done.code, reported(done)) == (4, {"waiting": 1, "finished": 2})
        assert "all tasks that were followed have ended, 1 task has not ended" in done.data["reason"]


@pytest.mark.speed(5)
async def test_tracker_shares_the_ledger_with_a_run_and_excludes_another_tracker(
    cli: Cli, manifest: Callable[..., Path]
) -> None:
    """A signal ends the first tracker; the second one is refused."""
    archive = manifest(tencent_ids(200))
    async with serving(cli, of_tasks()) as sandbox:
        run = await cli.start("run", archive, *PICTURES, "--rate", "100", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.accepted()) >= 5, 20)
        tracker = await cli.start("track", *TRACK, "--follow")
        await sandbox.wait_for(lambda: len(sandbox.requests_of(DESCRIBE)) >= 5, 20)
        second = await cli("track", *TRACK)
        assert second.code == 5, second.stderr
        assert "is tracking this ledger's tasks" in second.stderr
        assert "(batcher track)" in second.stderr
        third = await cli.run("--track")
        assert (third.code, "is tracking this ledger's tasks" in third.stderr) == (5, True)
        ran = await cli.finish(run)
        assert ran.code == 0, ran.stderr
        await until(lambda: tallied(cli).get("finished") == 200)
        assert tracker.returncode is None
        tracker.send_signal(signal.SIGINT)
        done = await cli.finish(tracker)
        assert done.code == 130, done.stderr
        await referee(cli, sandbox)
    await whole(cli)


def tallied(cli: Cli) -> dict[str, int]:
    """The tallies of tasks."""
    return dict(query(cli.folder / "batcher.db", "SELECT state, n FROM task_tallies"))


@pytest.mark.speed(10)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_signal_ends_a_run_that_only_waits_for_tasks(
    cli: Cli, manifest: Callable[..., Path], number: signal.Signals, code: int
) -> None:
    """The waiting ends immediately; the tasks are followed the next time."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, of_tasks(TaskSettings(time_s=3600))) as sandbox:
        run = await cli.start("run", archive, *PICTURES, *FAST, "--track")
        await sandbox.wait_for(lambda: len(sandbox.requests_of(DESCRIBE)) >= 3, 20)
        run.send_signal(number)
        done = await cli.finish(run)
        assert done.code == code, done.stderr
        sandbox.advance(3600)
        age(cli, 600)
        again = await cli.run("--track", "--json")
        assert (again.code, reported(again)) == (0, {"finished": 3})


async def test_track_timeout_leaves_open_tasks_as_work_left(cli: Cli, manifest: Callable[..., Path]) -> None:
    """--track-timeout counts from the end of sending."""
    archive = manifest(tencent_ids(3))
    async with serving(cli, of_tasks(TaskSettings(time_s=3600))):
        done = await cli.run(archive, *PICTURES, "--track", "--track-timeout", "3s", "--json")
        assert (done.code, done.data["exit_code"]) == (4, 4)
        assert "time limit reached, 3 tasks have not ended" in done.data["reason"]
        assert "batcher track" in done.stderr
        quiet = await cli.run("--track", "--track-timeout", "1s", "-q")
        assert (quiet.code, quiet.stderr) == (4, "")
        [(code,)] = query(cli.folder / "batcher.db", "SELECT exit_code FROM runs WHERE id = 1")
        assert code == 0, "sending had ended well"


async def test_tasks_of_another_account_are_not_polled(cli: Cli) -> None:
    """Another AppId or kind of endpoint has exit code 2: every task would be unknown there."""
    async with serving(cli, of_tasks()) as sandbox:
        await submit(cli, tencent_ids(2))
        cli.env["BATCHER_APP_ID"] = "77"
        done = await cli("track", *TRACK)
        assert (done.code, sandbox.requests_of(DESCRIBE)) == (2, [])
        assert "tasks of one AppId do not count for another" in done.stderr


async def test_unusable_settings_of_track_are_reported(cli: Cli) -> None:
    """Each problem has its exit code and one message."""
    async with serving(cli, of_tasks(), ledger_made=False):
        none = await cli("track", *TRACK)
        assert (none.code, "there is no ledger here" in none.stderr) == (6, True)
        wrong = await cli("track", *TRACK, "--give-up", "soon")
        assert (wrong.code, "--give-up soon: give seconds" in wrong.stderr) == (2, True)
    async with serving(cli, of_tasks()):
        empty = await cli("track", *TRACK, "--json")
        assert (empty.code, reported(empty)) == (0, {})
    del cli.env["BATCHER_SERVER_SECRET"]
    without = await cli("track", *TRACK)
    assert (without.code, "BATCHER_SERVER_SECRET" in without.stderr) == (2, True)


async def test_polls_and_submissions_keep_their_limits(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Each Action has a limit of 20 a second of its own, and a run keeps both."""
    archive = manifest(tencent_ids(45))
    async with (
        serving(cli) as sandbox,
        lateness() as late,
    ):  # a starved server would refuse what it noted late
        done = await cli("run", archive, *PICTURES, "--progress", "none", "--track")
        assert done.code == 0, done.stderr
        for action in ("MediaThumbnails", DESCRIBE):
            assert most_in_a_second(moments(sandbox.log, action), late.most_s) <= 20
        assert len(sandbox.requests_of(DESCRIBE)) == 45
        await referee(cli, sandbox)


@pytest.mark.speed(10)
async def test_metrics_and_json_logs_count_tasks_and_polls(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The file of figures counts tasks and polls; each line of stderr is JSON when that is wanted."""
    archive = manifest(tencent_ids(4))
    async with serving(cli, of_tasks()):
        done = await cli.run(
            archive, *PICTURES, "--track", "--metrics-file", "b.prom", "--log-format", "json"
        )
        assert done.code == 0, done.stderr
    text = (cli.folder / "b.prom").read_text()
    assert 'batcher_tasks{state="finished"} 4.0' in text
    assert 'batcher_polls_total{outcome="finished"} 4.0' in text
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    [finished] = [line for line in lines if line["event"] == "run_finished"]
    assert finished["tasks"]["finished"] == 4
