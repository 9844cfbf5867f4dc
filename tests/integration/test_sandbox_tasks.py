"""DescribeMediaTask of the sandbox, and the pictures of its tasks, over real connections."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from PIL import Image
from support.calling import Caller, NoAnswerError, calling

from batcher.sandbox import (
    ActionFaults,
    Fate,
    Fault,
    PictureFault,
    RecordingSettings,
    RequestSeen,
    Sandbox,
    SandboxSettings,
    TaskSettings,
)

TENCENT_ID, KEY = "5285890784246869931", "/record/a/b.mp4"
TENCENT = (
    f"Action=MediaThumbnails&Vendor=Tencent&FileId={TENCENT_ID}&Type=SnapshotByTimeOffset&Definition=10"
    "&ExtTimeOffsetSet[]=1&ExtTimeOffsetSet[]=2.5"
)
HUAWEI = f"Action=MediaThumbnails&Vendor=Huawei&FileId={KEY}&Type=SampleSnapshot&Interval=20"
BY_VENDOR = {"Tencent": TENCENT, "Huawei": HUAWEI}


def settings(**tasks: Any) -> SandboxSettings:  # noqa: ANN401 - any field of TaskSettings
    return SandboxSettings(rate_per_s=None, tasks=TaskSettings(**tasks))


async def started(caller: Caller, query: str) -> str:
    """Start a task and give its id."""
    task = (await caller.ask(query)).data
    return str(task.get("TaskId") or task.get("task_id"))


async def described(caller: Caller, vendor: str, task_id: str) -> dict[str, Any]:
    """The service's report of a task."""
    return (await caller.ask(f"Action=DescribeMediaTask&Vendor={vendor}&TaskId={task_id}")).data


async def got(url: str) -> tuple[int, str, bytes]:
    """Fetch one address."""
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_tencent_task_waits_is_processed_and_finishes() -> None:
    """A quarter of the time is waiting; the pictures are listed only at the end."""
    sandbox = Sandbox(settings(time_s=100))
    async with calling(sandbox) as caller:
        task_id = await started(caller, TENCENT)
        seen = []
        for seconds in (0, 24.5, 1, 74, 1, 1000):
            sandbox.advance(seconds)
            report = await described(caller, "Tencent", task_id)
            seen.append((report["Status"], len(report["ThumbnailsUrl"])))
    assert seen == [
        ("WAITING", 0),
        ("WAITING", 0),
        ("PROCESSING", 0),
        ("PROCESSING", 0),
        ("FINISH", 2),
        ("FINISH", 2),
    ]
    assert set(report) == {
        "TaskId",
        "FileId",
        "Event",
        "Status",
        "Message",
        "ReplayUrl",
        "ThumbnailsUrl",
        "RequestId",
    }
    assert report["FileId"] == TENCENT_ID
    assert (report["TaskId"], report["Event"]) == (task_id, "SnapshotByTimeOffset")
    assert report["ThumbnailsUrl"] == [
        f"{caller.url}_pictures/snapshots/{TENCENT_ID}/{task_id}/000{n}.jpg" for n in (1, 2)
    ]


async def test_huawei_task_has_huaweis_form() -> None:
    """Times are compact and UTC, the end is set only afterwards, and pictures are object names."""
    sandbox = Sandbox(settings(time_s=100))
    async with calling(sandbox) as caller:
        task_id = await started(caller, HUAWEI)
        waiting = await described(caller, "Huawei", task_id)
        sandbox.advance(50)
        processing = await described(caller, "Huawei", task_id)
        sandbox.advance(50)
        done = await described(caller, "Huawei", task_id)
    assert [one["Status"] for one in (waiting, processing, done)] == ["WAITING", "PROCESSING", "SUCCEEDED"]
    assert (waiting["EndTime"], waiting["FileName"]) == ("", [])
    assert set(done) == {"TaskId", "Status", "CreateTime", "EndTime", "FileName"}
    assert len(done["CreateTime"]) == len(done["EndTime"]) == 14
    assert int(done["EndTime"]) > int(done["CreateTime"])
    assert done["FileName"] == [
        f"record/a/snapshots/{task_id}/{n:04d}.jpg" for n in (1, 2, 3)
    ]  # of 60 s, every 20


async def test_task_ends_immediately_by_default() -> None:
    """The first query has the pictures."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        task_id = await started(caller, TENCENT)
        assert (await described(caller, "Tencent", task_id))["Status"] == "FINISH"
    (polled,) = sandbox.requests_of("DescribeMediaTask")
    assert (polled.asked_task_id, polled.task_id, polled.accepted, polled.file_id) == (
        task_id,
        None,
        False,
        "",
    )
    assert list(sandbox.accepted()) == [task_id]


async def test_unknown_task_is_reported() -> None:
    """Huawei has a word for it, Tencent a code or empty data; another vendor's task is unknown too."""
    for code in (1000, 0):
        async with calling(Sandbox(settings(unknown_code=code))) as caller:
            task_id = await started(caller, TENCENT)
            assert (await described(caller, "Huawei", "289000000"))["Status"] == "NO_TASK"
            assert (await described(caller, "Huawei", task_id))["Status"] == "NO_TASK"
            answer = await caller.ask("Action=DescribeMediaTask&Vendor=Tencent&TaskId=nobodys")
            assert (answer.code, json.loads(answer.text)["Data"]) == (code, {})


@pytest.mark.parametrize(
    ("fate", "tencent", "huawei"),
    [
        (Fate.FAIL, "FAIL", "FAILED"),
        (Fate.CANCELED, "FAIL", "CANCELED"),
        (Fate.ENDLESS, "PROCESSING", "PROCESSING"),
        (Fate.STUCK, "WAITING", "WAITING"),
    ],
)
async def test_file_has_its_fate(fate: Fate, tencent: str, huawei: str) -> None:
    """At any time the task is in the state of its fate, without pictures."""
    fates, texts = dict.fromkeys((TENCENT_ID, KEY), fate), {TENCENT_ID: "no <frame> in it"}
    sandbox = Sandbox(settings(time_s=10, fates=fates, messages=texts))
    async with calling(sandbox) as caller:
        ids = {vendor: await started(caller, query) for vendor, query in BY_VENDOR.items()}
        sandbox.advance(1_000_000)
        report = {vendor: await described(caller, vendor, task_id) for vendor, task_id in ids.items()}
    assert (report["Tencent"]["Status"], report["Huawei"]["Status"]) == (tencent, huawei)
    assert report["Tencent"]["ThumbnailsUrl"] == report["Huawei"]["FileName"] == []
    assert report["Tencent"]["Message"] == ("no <frame> in it" if tencent == "FAIL" else "")


@pytest.mark.parametrize(
    ("prefix", "folder", "status"),
    [
        ("501501501", "unreadable", "FAILED"),
        ("600600600", "endless", "PROCESSING"),
        ("410410410", "forgotten", "NO_TASK"),
    ],
)
async def test_marked_file_id_decides_the_fate(prefix: str, folder: str, status: str) -> None:
    """The request is accepted like any other; the task follows the marker."""
    sandbox = Sandbox(settings())
    async with calling(sandbox) as caller:
        task_id = await started(caller, HUAWEI.replace("/a/", f"/{folder}/"))
        assert (await described(caller, "Huawei", task_id))["Status"] == status
        task_id = await started(caller, TENCENT.replace(TENCENT_ID, prefix + "1234567891"))
        assert sandbox.tasks.status(sandbox.tasks[task_id]) == {"FAILED": "FAIL"}.get(status, status)
        if status == "NO_TASK":
            asked = await caller.ask(f"Action=DescribeMediaTask&Vendor=Tencent&TaskId={task_id}")
            assert asked.code == 1000


async def test_shares_of_tasks_have_fates() -> None:
    """The numbers match the shares on average, and repeat with the seed."""
    counts = []
    for _ in range(2):
        sandbox = Sandbox(settings(fail_share=0.2, endless_share=0.1, forgotten_share=0.1))
        async with calling(sandbox) as caller:
            ids = [await started(caller, TENCENT) for _ in range(200)]
        counts.append([sandbox.tasks.status(sandbox.tasks[one]) for one in ids])
    assert counts[0] == counts[1]
    many = Counter(counts[0])
    assert many["FAIL"] == pytest.approx(40, abs=20)
    assert many["PROCESSING"] == pytest.approx(20, abs=14)
    assert many["NO_TASK"] == pytest.approx(20, abs=14)


async def test_task_of_recording_without_picture_fails() -> None:
    """SearchMedia and the task agree about a recording."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, recordings=RecordingSettings(count=600)))
    expected = {}
    async with calling(sandbox) as caller:
        for place in (7, 11, 13, 17, 20):
            one = sandbox.recordings.at(place)
            task_id = await started(caller, TENCENT.replace(TENCENT_ID, one.file_id))
            report = await described(caller, "Tencent", task_id)
            expected[place] = (report["Status"], report["Message"])
    assert expected == {
        7: ("FAIL", "the source file has no video stream"),
        11: ("FAIL", "the source file is no video"),
        13: ("FAIL", "the source file is forbidden"),
        17: ("FAIL", "the source file is archived; restore it first"),
        20: ("FINISH", "success"),
    }


async def test_offset_beyond_end_gives_no_picture() -> None:
    """If no offset is within the recording, the task fails."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, recordings=RecordingSettings(count=600)))
    short = next(one for place in range(600) if (one := sandbox.recordings.at(place)).duration_s < 4)
    assert short.category == "Video"
    query = TENCENT.replace(TENCENT_ID, short.file_id)
    async with calling(sandbox) as caller:
        some = await described(caller, "Tencent", await started(caller, query + "&ExtTimeOffsetSet[]=4"))
        none = await described(
            caller, "Tencent", await started(caller, query.replace("=1&", "=8&").replace("=2.5", "=9"))
        )
    assert (some["Status"], len(some["ThumbnailsUrl"])) == ("FINISH", 1 + (short.duration_s > 2.5))
    assert (none["Status"], none["Message"]) == ("FAIL", "no offset lies within the recording")


@pytest.mark.parametrize(
    "query", ["Vendor=Ws&TaskId=1", "Vendor=Tencent", "Vendor=Huawei&TaskId=", "TaskId=1"]
)
async def test_malformed_poll_is_refused(query: str) -> None:
    """The code is 2."""
    async with calling(Sandbox()) as caller:
        assert (await caller.ask(f"Action=DescribeMediaTask&{query}")).code == 2


async def test_polls_have_their_own_faults() -> None:
    """Faults go by number, by the file of the task, and by a chooser that gets both."""
    seen: list[RequestSeen] = []

    def choose(request: RequestSeen) -> Fault | None:
        seen.append(request)
        return Fault.parse("code:6") if request.nth_for_file == 3 else None

    faults = ActionFaults(
        script={1: Fault.parse("http:502")}, by_file={KEY: [None, Fault.parse("drop-after")]}, choose=choose
    )
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, faults={"DescribeMediaTask": faults}))
    async with calling(sandbox) as caller:
        task_id = await started(caller, HUAWEI)
        poll = f"Action=DescribeMediaTask&Vendor=Huawei&TaskId={task_id}"
        assert (await caller.ask(poll)).status == 502
        with pytest.raises(NoAnswerError):
            await caller.ask(poll)
        assert [(await caller.ask(poll)).code for _ in range(2)] == [6, 0]
    assert [(one.file_id, one.action, one.number) for one in seen] == [
        (KEY, "DescribeMediaTask", number) for number in (1, 2, 3, 4)
    ]


async def test_task_with_lost_answer_is_known() -> None:
    """It was accepted, and can be queried by its id."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse("drop-after")}))
    async with calling(sandbox) as caller:
        with pytest.raises(NoAnswerError):
            await caller.ask(TENCENT)
        (task_id,) = sandbox.accepted()
        assert (await described(caller, "Tencent", task_id))["Status"] == "FINISH"


async def test_oldest_tasks_are_forgotten_beyond_a_bound() -> None:
    """Memory is bounded."""
    sandbox = Sandbox(settings(keep=3))
    async with calling(sandbox) as caller:
        ids = [await started(caller, HUAWEI) for _ in range(5)]
        report = [(await described(caller, "Huawei", one))["Status"] for one in ids]
    assert report == ["NO_TASK"] * 2 + ["SUCCEEDED"] * 3
    assert len(sandbox.tasks) == 3


# Pictures.


async def test_pictures_by_rule_are_whole_and_different() -> None:
    """Each address of a task returns a JPEG that can be decoded, the same each time."""
    sandbox = Sandbox(settings())
    async with calling(sandbox) as caller:
        report = await described(caller, "Tencent", await started(caller, TENCENT))
        pictures = [await got(url) for url in report["ThumbnailsUrl"] * 2]
    assert {(status, type_) for status, type_, _ in pictures} == {(200, "image/jpeg")}
    first, second, again, _ = (body for _, _, body in pictures)
    assert first != second
    assert first == again
    image = Image.open(io.BytesIO(first))
    image.load()
    low, high = _extremes(image)
    assert (image.format, image.size, high - low > 100) == ("JPEG", (160, 96), True)
    task_id = report["TaskId"]
    assert list(sandbox.pictures.asked) == [(task_id, 1), (task_id, 2)] * 2


async def test_unmade_picture_is_not_found() -> None:
    """A path names a task and a number, and no other path exists."""
    sandbox = Sandbox(settings(time_s=100))
    async with calling(sandbox) as caller:
        early = await started(caller, HUAWEI)
        folder = "record/a/snapshots"
        paths = [
            f"{folder}/{early}/0001.jpg",
            f"snapshots/{early}/0001.jpg",
            "snapshots/1/0001.jpg",
            "../../etc/passwd",
            "",
            "snapshots/",
        ]
        paths += [f"snapshots/{early}/../{early}/0001.jpg", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"]
        for path in paths:
            assert (await _raw_status(caller.url, f"/_pictures/{path}"), path) == (404, path)
        sandbox.advance(100)
        assert (await got(f"{caller.url}_pictures/{folder}/{early}/0001.jpg"))[0] == 200
        for other in ("snapshots", "record/b/snapshots", f"{folder}/x/.."):
            assert await _raw_status(caller.url, f"/_pictures/{other}/{early}/0001.jpg") == 404
        for number in ("0000", "0004", "1", "00001"):
            assert (await got(f"{caller.url}_pictures/{folder}/{early}/{number}.jpg"))[0] == 404
    assert len(sandbox.log) == 1  # pictures are no calls of the API


async def _raw_status(url: str, path: str) -> int:
    """Ask for a path as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head = await reader.readline()
    writer.close()
    return int(head.split()[1])


@pytest.mark.parametrize(
    ("fault", "status", "type_"),
    [
        (PictureFault.MISSING, 404, "text/plain"),
        (PictureFault.BUSY, 503, "application/octet-stream"),
        (PictureFault.HTML, 200, "text/html"),
        (PictureFault.REDIRECT, 302, "application/octet-stream"),
        (PictureFault.BLACK, 200, "image/jpeg"),
        (PictureFault.WHITE, 200, "image/jpeg"),
    ],
)
async def test_picture_can_be_faulty(fault: PictureFault, status: int, type_: str) -> None:
    """Every fault that a download must handle is available."""
    sandbox = Sandbox(SandboxSettings(picture_faults={TENCENT_ID: fault}))
    async with calling(sandbox) as caller:
        report = await described(caller, "Tencent", await started(caller, TENCENT))
        answer = await got(report["ThumbnailsUrl"][0])
    assert answer[:2] == (status, type_)
    if type_ == "image/jpeg":
        level = 0 if fault is PictureFault.BLACK else 255
        assert _extremes(Image.open(io.BytesIO(answer[2]))) == (level, level)


async def test_picture_can_be_cut_off_or_endless() -> None:
    """One breaks off before its length; the other continues until the client disconnects."""
    faults: Mapping[str, PictureFault] = {TENCENT_ID: PictureFault.CUT, KEY: PictureFault.ENDLESS}
    sandbox = Sandbox(SandboxSettings(picture_faults=faults))
    async with calling(sandbox) as caller, aiohttp.ClientSession() as session:
        cut = await described(caller, "Tencent", await started(caller, TENCENT))
        with pytest.raises(aiohttp.ClientPayloadError):
            await got(cut["ThumbnailsUrl"][0])
        endless = await described(caller, "Huawei", await started(caller, HUAWEI))
        async with session.get(f"{caller.url}_pictures/{endless['FileName'][0]}") as answer:
            assert len(await answer.content.readexactly(3_000_000)) == 3_000_000


async def test_other_addresses_can_be_reported() -> None:
    """A poll can report addresses that cannot be fetched."""
    hostile = ["http://169.254.169.254/latest", "file:///etc/passwd"]
    sandbox = Sandbox(settings(urls={TENCENT_ID: hostile}))
    async with calling(sandbox) as caller:
        report = await described(caller, "Tencent", await started(caller, TENCENT))
    assert report["ThumbnailsUrl"] == hostile


def _extremes(image: Image.Image) -> tuple[int, int]:
    """The darkest and the brightest level of a grey picture."""
    levels = image.convert("L").tobytes()
    return min(levels), max(levels)
