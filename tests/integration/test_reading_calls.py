"""The calls that only read, ``describe`` and ``search``, against a real server: one request, one outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from batcher.model.outcome import Answer, HttpRefusal, NotSent, ReplyLost
from batcher.model.submission import Archive, FileId, Parameters, SnapshotType, TaskId, Vendor
from batcher.model.task import TaskReport, TaskState
from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_SERVER_SECRET,
    ActionFaults,
    AnswerShape,
    Fate,
    Fault,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
    TaskSettings,
)
from batcher.zego.client import Account, ZegoClient
from batcher.zego.search_media import Search, SearchPage

AT_1_AND_2_S = Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("1", "2"))
EVERY_2_S = Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "2")
TENCENT_ID = FileId("1397757897438985123")
HUAWEI_ID = FileId("/record/a b/2024-11-13.mp4")

BOTH = [(TENCENT_ID, AT_1_AND_2_S), (HUAWEI_ID, EVERY_2_S)]


@asynccontextmanager
async def calling(settings: SandboxSettings) -> AsyncIterator[tuple[Sandbox, ZegoClient]]:
    """A sandbox and a client of it."""
    sandbox, account = Sandbox(settings), Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
    async with (
        sandbox.serve() as url,
        ZegoClient(url, account, timeout_s=5, connections=2) as client,
    ):
        yield sandbox, client


async def submitted(client: ZegoClient, file_id: FileId, asked: Parameters) -> TaskId:
    """A task that the service has accepted."""
    answer = await client.submit(file_id, asked)
    assert isinstance(answer, Answer)
    assert answer.task_id is not None
    return answer.task_id


@pytest.mark.parametrize("shape", AnswerShape)
@pytest.mark.parametrize(("file_id", "asked"), BOTH)
async def test_task_is_polled_from_its_start_to_its_pictures(
    file_id: FileId, asked: Parameters, shape: AnswerShape
) -> None:
    """Each poll is one request and returns the state of the task at that moment."""
    settings = SandboxSettings(rate_per_s=None, answer_shape=shape, tasks=TaskSettings(time_s=100))
    async with calling(settings) as (sandbox, client):
        task_id = await submitted(client, file_id, asked)
        reports = []
        for seconds in (0, 50, 60):
            sandbox.advance(seconds)
            report = await client.describe(task_id, asked.vendor)
            assert isinstance(report, TaskReport)
            reports.append(report)
        states = [report.state for report in reports]
        assert states == [TaskState.WAITING, TaskState.PROCESSING, TaskState.FINISHED]
        assert [bool(report.pictures) for report in reports] == [False, False, True]
        assert [entry.asked_task_id for entry in sandbox.requests_of("DescribeMediaTask")] == [task_id] * 3


@pytest.mark.parametrize(("file_id", "asked"), BOTH)
async def test_task_that_failed_says_so(file_id: FileId, asked: Parameters) -> None:
    """A failed task has the vendor's word and no pictures."""
    settings = SandboxSettings(rate_per_s=None, tasks=TaskSettings(fates={file_id: Fate.FAIL}))
    async with calling(settings) as (_, client):
        report = await client.describe(await submitted(client, file_id, asked), asked.vendor)
        assert isinstance(report, TaskReport)
        assert (report.state, report.pictures) == (TaskState.FAILED, ())
        assert report.status in ("FAIL", "FAILED")


async def test_unknown_task_has_an_outcome_for_each_vendor() -> None:
    """Huawei reports no such task; Tencent answers with a code."""
    async with calling(SandboxSettings(rate_per_s=None)) as (_, client):
        of_huawei = await client.describe(TaskId("289665200"), Vendor.HUAWEI)
        assert isinstance(of_huawei, TaskReport)
        assert (of_huawei.state, of_huawei.status) == (TaskState.UNKNOWN, "NO_TASK")
        of_tencent = await client.describe(TaskId("1500030200-procedurev2-0tt0"), Vendor.TENCENT)
        assert isinstance(of_tencent, Answer)
        assert of_tencent.code == 1000


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("code:6", Answer),
        ("http:503", HttpRefusal),
        ("html", ReplyLost),
        ("cut", ReplyLost),
        ("empty", ReplyLost),
        ("drop-after", ReplyLost),
    ],
)
async def test_poll_without_a_report_returns_its_outcome(fault: str, kind: type[object]) -> None:
    """A failed poll is one request, and its outcome is a value."""
    faults = ActionFaults(script={1: Fault.parse(fault)})
    settings = SandboxSettings(rate_per_s=None, faults={"DescribeMediaTask": faults, "SearchMedia": faults})
    async with calling(settings) as (sandbox, client):
        task_id = await submitted(client, TENCENT_ID, AT_1_AND_2_S)
        assert isinstance(await client.describe(task_id, Vendor.TENCENT), kind)
        assert isinstance(await client.search(Search(Archive.TENCENT)), kind)
        assert isinstance(await client.describe(task_id, Vendor.TENCENT), TaskReport)
        assert len(sandbox.requests_of("DescribeMediaTask")) == 2
        assert len(sandbox.requests_of("SearchMedia")) == 1


async def test_success_that_says_nothing_of_the_task_is_no_report() -> None:
    """Code 0 without the task's part is a lost answer: it may be asked again."""
    settings = SandboxSettings(rate_per_s=None, tasks=TaskSettings(unknown_code=0))
    async with calling(settings) as (_, client):
        outcome = await client.describe(TaskId("1500030200-procedurev2-0tt0"), Vendor.TENCENT)
        assert outcome == ReplyLost("the answer has no readable part about this task", 200)


async def test_poll_of_a_refused_connection_was_not_sent() -> None:
    """The outcome has no address and no signature."""
    account = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
    async with ZegoClient("http://127.0.0.1:1/", account, timeout_s=2, connections=1) as client:
        for outcome in (
            await client.describe(TaskId("1"), Vendor.HUAWEI),
            await client.search(Search(Archive.HUAWEI)),
        ):
            assert outcome == NotSent("Connection refused")


async def test_page_longer_than_other_answers_is_read() -> None:
    """A thousand recordings with all their fields are more than 1 MiB."""
    settings = SandboxSettings(rate_per_s=None, recordings=RecordingSettings(count=4_000))
    async with calling(settings) as (_, client):
        page = await client.search(Search(Archive.TENCENT, page_size=4_000))
        assert isinstance(page, SearchPage)
        assert (len(page.recordings), page.total, page.unreadable) == (4_000, 4_000, 0)
