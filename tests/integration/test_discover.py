"""``batcher discover``: all recordings that exist, each once, in spite of faults and changes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from support.cli import Cli, serving
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import (
    ActionFaults,
    AnswerShape,
    Fault,
    PageNumbering,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
    WalkEnd,
)

NEWEST = 1_790_000_000
"""Unix seconds of the newest recording."""

DAY_S = 86_400

SINCE = ("--since", "2026-01-01T00:00Z")
TO_NOW = ("discover", "--vendor", "Tencent", *SINCE, "--rate", "2000")
TENCENT = (*TO_NOW, "--until", "2026-09-22T00:00Z")
"""A fixed end: how often the time is halved must not depend on the day on which the test runs."""
HUAWEI = ("discover", "--vendor", "Huawei", "--rate", "2000")


def holding(count: int, **settings: object) -> SandboxSettings:
    """A service without limits that keeps a number of recordings, of one day by default."""
    every = {"count": count, "until_s": NEWEST, "span_s": DAY_S} | settings
    return SandboxSettings(rate_per_s=None, recordings=RecordingSettings(**every))  # type: ignore[arg-type] # as named


def ids_of(text: str) -> list[str]:
    """The ids of a list, in its order."""
    return [row["file_id"] for row in csv.DictReader(io.StringIO(text))]


def all_ids(sandbox: Sandbox) -> list[str]:
    """Tencent's ids of all that the service keeps."""
    return sorted(sandbox.recordings.at(place).file_id for place in range(sandbox.recordings.count))


@pytest.mark.parametrize("end_included", [True, False])
@pytest.mark.parametrize("pages", PageNumbering)
async def test_discover_with_any_page_numbering_lists_each_recording_once(
    cli: Cli, pages: PageNumbering, *, end_included: bool
) -> None:
    """More recordings than a search shows, and many in one second: none is lost or listed twice."""
    settings = holding(12_345, pages=pages, end_included=end_included, span_s=9_000)
    async with serving(cli, settings) as sandbox:
        done = await cli(*TENCENT)
        assert (done.code, ids_of(done.stdout) == sorted(ids_of(done.stdout))) == (0, False), done.stderr
        assert sorted(ids_of(done.stdout)) == all_ids(sandbox)
        assert "12,345 recordings" in done.stderr
        assert len(sandbox.requests_of("SearchMedia")) < 100


async def test_discover_lists_id_name_creation_duration_size_and_url(cli: Cli) -> None:
    """The columns are those of a manifest, and name, creation time, duration, size and URL."""
    async with serving(cli, holding(700)) as sandbox:
        done = await cli(*TENCENT, "--format", "jsonl")
        rows = {row["file_id"]: row for row in done.lines}
        one = next(
            one
            for one in map(sandbox.recordings.at, range(700))
            if one.category == "Video" and one.renditions == 2
        )
        created = datetime.fromtimestamp(one.created_s, UTC).isoformat(timespec="milliseconds")
        row = rows[one.file_id]
        assert list(row) == ["file_id", "vendor", "name", "created", "duration", "size", "url"]
        assert (row["vendor"], row["name"], row["created"]) == (
            "Tencent",
            one.name,
            created.replace("+00:00", "Z"),
        )
        assert row["duration"] == pytest.approx(one.duration_s, abs=0.01)
        assert row["url"] == one.url
        assert one.url not in done.stderr


@pytest.mark.parametrize("shape", AnswerShape)
@pytest.mark.parametrize("end", WalkEnd)
async def test_discover_huawei_follows_the_marker_to_any_kind_of_end(
    cli: Cli, end: WalkEnd, shape: AnswerShape
) -> None:
    """The list is complete however the service ends its pages, and with both shapes of an answer."""
    recordings = RecordingSettings(count=3_000, until_s=NEWEST, span_s=DAY_S, walk_end=end)
    settings = SandboxSettings(rate_per_s=None, answer_shape=shape, recordings=recordings)
    async with serving(cli, settings) as sandbox:
        done = await cli(*HUAWEI, "--prefix", "record/")
        assert done.code == 0, done.stderr
        assert ids_of(done.stdout) == sorted(sandbox.recordings.at(place).key for place in range(3_000))
        assert len(sandbox.requests_of("SearchMedia")) <= 5


async def test_discover_prefix_of_more_than_20_bytes_is_compared_completely(cli: Cli) -> None:
    """The service compares 20 bytes; batcher compares the rest."""
    async with serving(cli, holding(3_000)) as sandbox:
        keys = sorted(sandbox.recordings.at(place).key for place in range(3_000))
        prefix = keys[1500][:22]
        done = await cli(*HUAWEI, "--prefix", prefix)
        assert ids_of(done.stdout) == [key for key in keys if key.startswith(prefix)]
        assert 0 < len(ids_of(done.stdout)) < 3_000


async def test_discover_second_with_more_than_a_search_shows_is_reported(cli: Cli) -> None:
    """All other seconds are complete, and the exit code is 1."""
    async with serving(cli, holding(14_000, crowd=6_000)) as sandbox:
        made = [sandbox.recordings.at(place) for place in range(14_000)]
        crowded = made[7_000].created_s
        done = await cli(*TENCENT, "-o", "all.csv")
        listed = set(ids_of((cli.folder / "all.csv").read_text("utf-8")))
        assert done.code == 1
        assert {one.file_id for one in made if one.created_s != crowded} <= listed
        missed = len(made) - len(listed)
        assert 0 < missed <= sum(one.created_s == crowded for one in made) - 4_500
        second = datetime.fromtimestamp(crowded, UTC).strftime("%Y-%m-%d %H:%M:%S")
        assert f"{second} UTC: this one second holds 5,000 recordings or more" in done.stderr
        assert done.stderr.count("5,000 recordings or more") == 1


async def test_discover_full_second_next_to_an_overfull_one_is_complete(cli: Cli) -> None:
    """Only the second that exceeds the limit is incomplete."""
    async with serving(cli, holding(8_000, span_s=2)) as sandbox:
        done = await cli(*TENCENT)
        assert (done.code, sorted(ids_of(done.stdout))) == (0, all_ids(sandbox)), done.stderr


async def test_discover_while_recordings_arrive_lists_all_earlier_ones(cli: Cli) -> None:
    """New recordings shift the pages; all that existed at the beginning are listed once."""
    settings = holding(2_000, arriving=7, until_s=int(time.time()))
    async with serving(cli, settings) as sandbox:
        before = all_ids(sandbox)
        done = await cli(*TO_NOW)
        listed = ids_of(done.stdout)
        assert len(listed) == len(set(listed))
        assert set(before) <= set(listed)


async def test_discover_with_faulty_answers_lists_all(cli: Cli) -> None:
    """Busy, lost, unreadable and refused answers are asked for again."""
    faults = ("code:6", "drop-after", "drop-before", "cut")
    script = {3 * n: Fault.parse(fault) for n, fault in enumerate(faults, 1)}
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script=script)},
    )
    async with serving(cli, settings) as sandbox:
        done = await cli(*TENCENT)
        assert (done.code, sorted(ids_of(done.stdout))) == (0, all_ids(sandbox)), done.stderr
        assert len(sandbox.requests_of("SearchMedia")) > max(script)


@pytest.mark.parametrize("code", [3, 5, 7, 8, 100000005, 100000011])
async def test_discover_refused_by_the_service_exits_3(cli: Cli, code: int) -> None:
    """Credentials and permissions need the user: exit code 3 with the code's meaning, after one call."""
    faults = {"SearchMedia": ActionFaults(script={1: Fault.parse(f"code:{code}")})}
    settings = SandboxSettings(rate_per_s=None, recordings=RecordingSettings(count=10), faults=faults)
    async with serving(cli, settings) as sandbox:
        done = await cli(*TENCENT, "-o", "all.csv")
        assert done.code == 3
        assert f"code {code}: " in done.stderr
        assert "batcher show" not in done.stderr
        assert len(sandbox.requests_of("SearchMedia")) == 1
        assert not (cli.folder / "all.csv").exists()


@pytest.mark.parametrize("command", [TENCENT, HUAWEI])
async def test_discover_stopped_by_a_signal_is_resumed_by_the_same_command(
    cli: Cli, command: tuple[str, ...]
) -> None:
    """The second call asks for the rest and leaves one complete list."""
    held = 28 if command is TENCENT else 4
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script={held: Fault.parse("hang")})},
    )
    async with serving(cli, settings) as sandbox:
        process = await cli.start(*command, "-o", "all.csv")
        await sandbox.wait_for(lambda: len(sandbox.requests_of("SearchMedia")) >= held)
        process.send_signal(signal.SIGTERM)
        stopped = await cli.finish(process)
        assert stopped.code == 143
        assert "all.csv.part: run the same command again to resume" in stopped.stderr
        part = (cli.folder / "all.csv.part").read_bytes()
        kept = len(part.splitlines()) - 1
        assert 0 < kept < 9_000
        (cli.folder / "all.csv.part").write_bytes(part + b"half a li")  # as a crash leaves it
        before = len(sandbox.requests_of("SearchMedia"))
        done = await cli(*command, "-o", "all.csv")
        assert done.code == 0, done.stderr
        assert f"resuming after {kept:,} recordings" in done.stderr
        listed = ids_of((cli.folder / "all.csv").read_text("utf-8"))
        made = map(sandbox.recordings.at, range(9_000))
        assert sorted(listed) == sorted(one.file_id if command is TENCENT else one.key for one in made)
        assert sorted(path.name for path in cli.folder.glob("all*")) == ["all.csv"]
        later = sandbox.requests_of("SearchMedia")[before:]
        assert sum(entry.listed or 0 for entry in later) < 9_000 if command is HUAWEI else True


async def test_discover_stopped_repeatedly_keeps_the_progress(cli: Cli) -> None:
    """A call that gets no further than the one before keeps its progress."""
    hang = Fault.parse("hang")
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=5_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script={3: hang, 4: hang})},
    )
    async with serving(cli, settings) as sandbox:

        def arrived(calls: int) -> bool:
            return len(sandbox.requests_of("SearchMedia")) >= calls

        for calls in (3, 4):
            process = await cli.start(*HUAWEI, "-o", "all.csv")
            await sandbox.wait_for(partial(arrived, calls))
            process.send_signal(signal.SIGINT)
            assert (await cli.finish(process)).code == 130
            assert len((cli.folder / "all.csv.part").read_bytes().splitlines()) == 2_001
        done = await cli(*HUAWEI, "-o", "all.csv")
        listed = ids_of((cli.folder / "all.csv").read_text("utf-8"))
        assert (done.code, len(listed), len(set(listed))) == (0, 5_000, 5_000)


async def test_discover_killed_is_resumed_by_the_same_command(cli: Cli) -> None:
    """The next call resumes from the recorded progress, and no recording is listed twice."""
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script={6: Fault.parse("hang")})},
    )
    async with serving(cli, settings) as sandbox:
        process = await cli.start(*HUAWEI, "-o", "all.csv")
        await sandbox.wait_for(lambda: len(sandbox.requests_of("SearchMedia")) >= 6)
        process.kill()
        await process.communicate()
        done = await cli(*HUAWEI, "-o", "all.csv")
        listed = ids_of((cli.folder / "all.csv").read_text("utf-8"))
        assert (done.code, len(listed), len(set(listed))) == (0, 9_000, 9_000), done.stderr


async def test_discover_with_other_options_refuses_an_unfinished_list(cli: Cli) -> None:
    """The unfinished list is left as it is, with exit code 2 and the remedy."""
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script={4: Fault.parse("code:3")})},
    )
    async with serving(cli, settings):
        assert (await cli(*HUAWEI, "-o", "all.csv")).code == 3
        before = (cli.folder / "all.csv.part").read_bytes()
        done = await cli(*HUAWEI, "-o", "all.csv", "--prefix", "record/other")
        assert done.code == 2
        assert "all.csv.part.json: an unfinished list with other options (prefix)" in done.stderr
        assert (cli.folder / "all.csv.part").read_bytes() == before
        (cli.folder / "all.csv.part.json").write_text("{}", "utf-8")
        spoiled = await cli(*HUAWEI, "-o", "all.csv")
        assert (spoiled.code, "Remove it" in spoiled.stderr) == (2, True)


async def test_discover_at_its_time_limit_exits_4_and_can_be_resumed(cli: Cli) -> None:
    """With --max-duration the exit code is 4, and the next call resumes."""
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults={"SearchMedia": ActionFaults(script={4: Fault.parse("hang")})},
    )
    async with serving(cli, settings):
        done = await cli(*HUAWEI, "-o", "all.csv", "--max-duration", "500ms")
        assert (done.code, "--max-duration reached" in done.stderr) == (4, True)
        assert (await cli(*HUAWEI, "-o", "all.csv")).code == 0
        assert len(ids_of((cli.folder / "all.csv").read_text("utf-8"))) == 9_000


async def test_discover_in_a_pipe_feeds_a_run(cli: Cli) -> None:
    """``batcher discover … | batcher run -`` submits all recordings, and the next night only new ones."""
    async with serving(cli, holding(300)) as sandbox:
        options = ("--definition", "10", "--offset", "1")
        found = await cli(*TENCENT, "--category", "video", "--not-in-ledger")
        ran = await cli.run("-", *options, stdin=found.stdout.encode())
        assert ran.code in (0, 1), ran.stderr
        videos = {one.file_id for one in map(sandbox.recordings.at, range(300)) if one.category == "Video"}
        assert {row["file_id"] for row in await cli.export()} == videos
        extra = json.loads(query(cli.folder / "batcher.db", "SELECT extra FROM submissions LIMIT 1")[0][0])
        assert set(extra) == {"name", "created", "duration", "size", "url"}
        again = await cli(*TENCENT, "--category", "Video", "--not-in-ledger")
        assert (again.code, ids_of(again.stdout)) == (0, [])


async def test_discover_in_a_pipe_and_its_run_work_concurrently(cli: Cli) -> None:
    """The run submits recordings while the list is still being made, with one ledger."""
    async with serving(cli, holding(1_200)) as sandbox:
        line = " ".join(["-m", "batcher", *TENCENT, "--category", "Video", "--not-in-ledger"])
        sent = "-m batcher run - --definition 10 --offset 1 --rate 2000 --progress none"
        process = await asyncio.create_subprocess_shell(
            f"{cli.python} {line} | {cli.python} {sent}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cli.folder,
            env=cli.env,
        )
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode in (0, 1), said.decode()
        made = map(sandbox.recordings.at, range(1_200))
        videos = sorted(one.file_id for one in made if one.category == "Video")
        assert sorted(row["file_id"] for row in await referee(cli, sandbox)) == videos


async def test_run_reading_a_failed_discover_exits_2(cli: Cli) -> None:
    """A list that could not be started has no heading: unlike an empty list, the run refuses it."""
    async with serving(cli, holding(0)):
        quiet = await cli(*TENCENT)
        refused = await cli(*TENCENT, env={"BATCHER_SERVER_SECRET": "0" * 32})
        ran = [(await cli.run("-", stdin=one.stdout.encode())).code for one in (quiet, refused)]
    assert [(quiet.code, ids_of(quiet.stdout)), (refused.code, refused.stdout)] == [(0, []), (3, "")]
    assert ran == [0, 2]


async def test_discover_filters_leave_recordings_out_and_count_them(cli: Cli) -> None:
    """Category, duration and the ends of the time leave recordings out, and the summary counts them."""
    async with serving(cli, holding(2_000)) as sandbox:
        made = [sandbox.recordings.at(place) for place in range(2_000)]
        done = await cli(*TENCENT, "--category", "Video", "--min-duration", "10")
        expected = {
            one.file_id
            for one in made
            if one.category == "Video" and (one.duration_s >= 10 or one.renditions == 0)
        }
        assert set(ids_of(done.stdout)) == expected
        assert f"{2_000 - len(expected):,} others left out" in done.stderr
        begin, end = made[500].created_s, made[900].created_s
        moments = [datetime.fromtimestamp(at, UTC).isoformat() for at in (begin, end)]
        for command in (("--vendor", "Tencent"), ("--vendor", "Huawei")):
            part = await cli(
                "discover", *command, "--since", moments[0], "--until", moments[1], "--rate", "2000"
            )
            within = [one for one in made if begin <= one.created_s <= end]
            names = (one.file_id if "Tencent" in command else one.key for one in within)
            assert sorted(ids_of(part.stdout)) == sorted(names)


async def test_discover_leaving_one_out_reports_the_singular(cli: Cli) -> None:
    """The summary counts one other, and a file name may choose JSON lines."""
    async with serving(cli, holding(4)):
        every = (await cli(*HUAWEI, "--format", "jsonl")).lines
        newest = max(row["created"] for row in every)
        older = [row for row in every if row["created"] < newest]
        done = await cli(*HUAWEI, "--until", max(row["created"] for row in older), "-o", "all.ndjson")
        assert (len(every), len(older)) == (4, 3)
        assert "; 1 other left out by the options" in done.stderr
        found = (cli.folder / "all.ndjson").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in found] == older


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--vendor", "Tencent"), "--since: give the time from which recordings are listed"),
        ((), "--vendor: say where the recordings are kept"),
        (("--vendor", "Azure"), "--vendor Azure: give Tencent, Huawei or Ws"),
        (("--vendor", "Tencent", "--since", "yesterday"), "--since yesterday: give how long ago"),
        (
            ("--vendor", "Tencent", "--since", "2026-05-01", "--until", "2026-04-01"),
            "--since, --until: 2026-05-01",
        ),
        (("--vendor", "Tencent", "--since", "1d", "--category", "Film"), "--category Film: give Video"),
        (("--vendor", "Huawei", "--min-duration", "10"), "--min-duration: works for Tencent only"),
        (("--vendor", "Huawei", "--format", "xlsx"), "--format xlsx: give csv or jsonl"),
        (("--vendor", "Huawei", "-o", "no/such/folder/all.csv"), "cannot be written: there is no folder"),
        (("--vendor", "Huawei", "-o", "all.xlsx"), "all.xlsx: discover writes CSV or JSON lines"),
        (("--vendor", "Huawei", "-o", "all.csv.gz"), "all.csv.gz: discover writes CSV or JSON lines"),
    ],
)
async def test_discover_with_a_wrong_option_exits_2_without_a_call(
    cli: Cli, options: tuple[str, ...], said: str
) -> None:
    """The message says what to give."""
    async with serving(cli, holding(10)) as sandbox:
        done = await cli("discover", *options)
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr
        assert sandbox.log == []


async def test_discover_into_a_closed_pipe_exits_0(cli: Cli) -> None:
    """A reader that closes the pipe ends the command silently."""
    async with serving(cli, holding(30_000)):
        arguments = ["-m", "batcher", *TENCENT]
        read, write = os.pipe()
        process = await asyncio.create_subprocess_exec(
            cli.python, *arguments, stdout=write, stderr=asyncio.subprocess.PIPE, cwd=cli.folder, env=cli.env
        )
        os.close(write)
        await asyncio.to_thread(os.read, read, 100)
        os.close(read)
        _, said = await asyncio.wait_for(process.communicate(), 90)
        assert (process.returncode, said) == (0, b"")


async def test_discover_sends_20_searches_a_second_at_most(cli: Cli) -> None:
    """The service refuses none of them."""
    settings = SandboxSettings(recordings=RecordingSettings(count=30_000, until_s=NEWEST, span_s=DAY_S))
    async with serving(cli, settings) as sandbox:
        done = await cli("discover", "--vendor", "Huawei")
        assert (done.code, len(ids_of(done.stdout))) == (0, 30_000)
        searches = sandbox.requests_of("SearchMedia")
        assert sandbox.max_in_any_second("SearchMedia") <= 20
        assert {entry.code for entry in searches} == {0}


async def test_discover_second_process_for_the_same_file_exits_2(cli: Cli) -> None:
    """The first process is not disturbed."""
    faults = {"SearchMedia": ActionFaults(script={2: Fault.parse("hang")})}
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=9_000, until_s=NEWEST, span_s=DAY_S),
        faults=faults,
    )
    async with serving(cli, settings) as sandbox:
        first = await cli.start(*HUAWEI, "-o", "all.csv")
        await sandbox.wait_for(lambda: len(sandbox.requests_of("SearchMedia")) >= 2)
        second = await cli(*HUAWEI, "-o", "all.csv")
        assert (second.code, "another batcher is writing it" in second.stderr) == (2, True)
        first.send_signal(signal.SIGINT)
        assert (await cli.finish(first)).code == 130
