"""SearchMedia of the sandbox over real connections: results, order and the end of a walk."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from support.calling import Caller, NoAnswerError, calling, sign, signed

from batcher.sandbox import (
    ActionFaults,
    AnswerShape,
    Fault,
    PageNumbering,
    RecordingSettings,
    Sandbox,
    SandboxRecording,
    SandboxSettings,
    WalkEnd,
)
from batcher.sandbox.recordings import MadeUp
from batcher.sandbox.request_log import RequestLog
from batcher.sandbox.service import SandboxService

UNTIL_S = 1_795_000_000
SEARCH = "Action=SearchMedia&Vendor="


def made(count: int, **others: object) -> SandboxSettings:
    """Settings of so many recordings without a limit."""
    wanted: dict[str, Any] = {"count": count, "until_s": UNTIL_S, "span_s": 86400, **others}
    return SandboxSettings(rate_per_s=None, recordings=RecordingSettings(**wanted))


def every(sandbox: Sandbox) -> list[SandboxRecording]:
    """All recordings in the order of creation."""
    return [sandbox.recordings.at(place) for place in range(sandbox.recordings.count)]


def ids(data: dict[str, Any]) -> list[str]:
    return [item["FileId"] for item in data["MediaInfoSet"]]


async def walk(caller: Caller, query: str, vendor: str = "Huawei") -> tuple[list[str], int]:
    """All keys as a walk by markers finds them, and how many requests it took."""
    keys: list[str] = []
    marker, requests = "", 0
    while True:
        answer = await caller.ask(f"{SEARCH}{vendor}&Marker={quote(marker)}&{query}")
        data = json.loads(answer.text)["Data"][vendor]
        requests += 1
        keys += [item["Key"] for item in data["Keys"]]
        following = data["NextMarker"]
        if not data["Keys"] or not following or following == marker:
            return keys, requests
        marker = following


async def test_search_without_recordings_is_empty() -> None:
    """Every vendor's answer is successful and empty."""
    async with calling(Sandbox()) as caller:
        tencent = (await caller.ask(SEARCH + "Tencent")).data
        assert (tencent["TotalCount"], tencent["MediaInfoSet"]) == (0, [])
        for vendor in ("Huawei", "Ws"):
            assert (await caller.ask(SEARCH + vendor)).data == {"Keys": [], "NextMarker": ""}


async def test_tencent_pages_have_every_recording_once_newest_first() -> None:
    """Pages count from 0, have ten items by default, and the last is short."""
    sandbox = Sandbox(made(47))
    async with calling(sandbox) as caller:
        first = (await caller.ask(SEARCH + "Tencent")).data
        pages = [
            ids((await caller.ask(f"{SEARCH}Tencent&PageNumber={n}&PageSize=20")).data) for n in range(4)
        ]
    newest = [one.file_id for one in reversed(every(sandbox))]
    assert (first["TotalCount"], ids(first)) == (47, newest[:10])
    assert [len(page) for page in pages] == [20, 20, 7, 0]
    assert [one for page in pages for one in page] == newest
    assert [entry.listed for entry in sandbox.requests_of("SearchMedia")] == [10, 20, 20, 7, 0]


@pytest.mark.parametrize(
    ("pages", "first", "code_of_zero"),
    [
        (PageNumbering.ZERO, 0, 0),
        (PageNumbering.ONE, 1, 2),
        (PageNumbering.ONE_LENIENT, 1, 0),
    ],
)
async def test_pages_may_count_from_1(pages: PageNumbering, first: int, code_of_zero: int) -> None:
    """The first page is the same under both numbers; page 0 may be refused or be the same."""
    sandbox = Sandbox(made(25, pages=pages))
    newest = [one.file_id for one in reversed(every(sandbox))]
    async with calling(sandbox) as caller:
        assert (await caller.ask(SEARCH + "Tencent&PageNumber=0")).code == code_of_zero
        found = [ids((await caller.ask(f"{SEARCH}Tencent&PageNumber={first + n}")).data) for n in range(3)]
        assert ids((await caller.ask(SEARCH + "Tencent")).data) == found[0]
    assert [one for page in found for one in page] == newest


@pytest.mark.parametrize(
    ("number", "size", "code"),
    [(0, 5000, 0), (0, 5001, 2), (4, 1000, 0), (5, 1000, 2), (999, 5, 0), (1000, 5, 2)],
)
async def test_pages_beyond_5000_are_empty(number: int, size: int, code: int) -> None:
    """The number of the page and its size decide, as documented, and the total is capped as well."""
    async with calling(Sandbox(made(6001))) as caller:
        answer = await caller.ask(f"{SEARCH}Tencent&PageNumber={number}&PageSize={size}")
        assert answer.code == code
        if not code:
            assert answer.data["TotalCount"] == 5000
            assert len(answer.data["MediaInfoSet"]) == size


async def test_time_range_includes_both_ends() -> None:
    """The last second can be excluded by a setting."""
    for included in (True, False):
        sandbox = Sandbox(made(300, end_included=included))
        recordings = every(sandbox)
        start, end = recordings[50].created_s, recordings[250].created_s
        expected = {
            one.file_id
            for one in recordings
            if start <= one.created_s <= end and (included or one.created_s < end)
        }
        async with calling(sandbox) as caller:
            query = f"{SEARCH}Tencent&StartTime={start}&EndTime={end}&PageSize=1000"
            found = (await caller.ask(query)).data
        assert (set(ids(found)), found["TotalCount"]) == (expected, len(expected))


async def test_some_recordings_share_a_second() -> None:
    """A crowd makes one second fuller than the cap."""
    sandbox = Sandbox(made(8000, crowd=5200, span_s=864_000))
    seconds = Counter(sandbox.recordings.at(place).created_s for place in range(8000))
    (fullest, many), *others = seconds.most_common()
    assert many >= 5200
    assert others[0][1] == 3
    async with calling(sandbox) as caller:
        query = f"{SEARCH}Tencent&StartTime={fullest}&EndTime={fullest}&PageSize=5000"
        found = (await caller.ask(query)).data
    assert (found["TotalCount"], len(set(ids(found)))) == (5000, 5000)


async def test_recordings_may_arrive_between_two_pages() -> None:
    """New recordings shift all others, so that a page repeats the end of the last one."""
    sandbox = Sandbox(made(30, arriving=3))
    async with calling(sandbox) as caller:
        first, second = [
            ids((await caller.ask(f"{SEARCH}Tencent&PageNumber={n}&EndTime={UNTIL_S}")).data) for n in (0, 1)
        ]
    assert second[:3] == first[-3:]
    assert sandbox.recordings.count == 36


async def test_search_by_id_takes_ten_ids_per_call() -> None:
    """Existing ones are returned; eleven ids are too many."""
    sandbox = Sandbox(made(100))
    known = [sandbox.recordings.at(place).file_id for place in (3, 50, 99)]
    asked = "".join(f"&FileId[]={one}" for one in [*known, known[0], "1397757897438985100", "x"])
    async with calling(sandbox) as caller:
        found = (await caller.ask(SEARCH + "Tencent" + asked)).data
        before = f"&EndTime={sandbox.recordings.at(60).created_s}"
        assert len(ids((await caller.ask(SEARCH + "Tencent" + asked + before)).data)) == 2
        assert (await caller.ask(SEARCH + "Tencent" + "&FileId[]=1" * 10)).code == 0
        assert (await caller.ask(SEARCH + "Tencent" + "&FileId[]=1" * 11)).code == 2
        assert (await caller.ask(SEARCH + "Tencent" + "&StreamId[]=1" * 11)).code == 2
    assert (sorted(ids(found)), found["TotalCount"]) == (sorted(known), 3)


async def test_filters_of_stream_and_name_combine() -> None:
    """Every given filter must match."""
    sandbox = Sandbox(made(2500))
    async with calling(sandbox) as caller:
        stream = (await caller.ask(SEARCH + "Tencent&StreamId[]=class-0007&StreamId[]=class-0008")).data
        prefix = (await caller.ask(SEARCH + "Tencent&NamePrefix=class-001&PageSize=100")).data
        both = (await caller.ask(SEARCH + "Tencent&NamePrefix=class-001&StreamId[]=class-0007")).data
        assert (await caller.ask(SEARCH + "Tencent&NamePrefix=" + "a" * 20)).code == 0
        assert (await caller.ask(SEARCH + "Tencent&NamePrefix=" + quote("课" * 7))).code == 2
    assert stream["TotalCount"] == 6
    assert {item["BasicInfo"]["Name"][:9] for item in prefix["MediaInfoSet"]} == {"class-001"}
    assert {item["BasicInfo"]["Name"][:10] for item in prefix["MediaInfoSet"]} == {
        f"class-001{n}" for n in range(10)
    }
    assert prefix["TotalCount"] == 30
    assert both["TotalCount"] == 0


async def test_tencent_item_has_documented_fields() -> None:
    """Every kind of recording has its values in the documented places."""
    sandbox = Sandbox(made(600))
    recordings = {one.file_id: one for one in every(sandbox)}
    async with calling(sandbox) as caller:
        items = (await caller.ask(SEARCH + "Tencent&PageSize=1000")).data["MediaInfoSet"]
    assert {item["FileId"] for item in items} == set(recordings)
    for item in items:
        one, basic = recordings[item["FileId"]], item["BasicInfo"]
        assert len(item["FileId"]) == 19
        created = datetime.strptime(basic["CreateTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert created.timestamp() == one.created_s
        assert (basic["Name"], basic["Category"], basic["Status"]) == (one.name, one.category, one.status)
        assert (basic["StorageClass"], basic["Type"]) == (one.storage_class, one.container)
        assert basic["MediaUrl"] == one.url
        assert {"Vid"} <= set(basic)
        renditions = (item["TranscodeInfo"] or {"TranscodeSet": []})["TranscodeSet"]
        if renditions:
            original = renditions[0]
            assert (original["Definition"], original["Duration"]) == (0, pytest.approx(one.duration_s))
            assert (original["Width"], original["Height"]) == (one.width, one.height)
    kinds = {(one.category, one.status, one.storage_class) for one in recordings.values()}
    assert {"Video", "Audio", "Image"} == {kind[0] for kind in kinds}
    assert {"Normal", "Forbidden"} == {kind[1] for kind in kinds}
    assert {"STANDARD", "ARCHIVE"} == {kind[2] for kind in kinds}
    transcoded = Counter(
        len(item["TranscodeInfo"]["TranscodeSet"]) if item["TranscodeInfo"] else None for item in items
    )
    assert set(transcoded) == {None, 0, 1, 2}


@pytest.mark.parametrize("vendor", ["Huawei", "Ws"])
@pytest.mark.parametrize("end", list(WalkEnd))
async def test_walk_by_markers_finds_every_key_once(vendor: str, end: WalkEnd) -> None:
    """This holds for every kind of end, and if the last page is full."""
    for count in (95, 90):
        sandbox = Sandbox(made(count, walk_end=end))
        async with calling(sandbox) as caller:
            keys, requests = await walk(caller, "MaxKeys=30", vendor)
        assert keys == sorted(one.key for one in every(sandbox))
        assert requests == -(-count // 30) + (end is WalkEnd.EMPTY_PAGE)


async def test_page_of_keys_has_1000_by_default() -> None:
    """From 1 to 1,000 can be requested."""
    async with calling(Sandbox(made(1200))) as caller:
        assert len((await caller.ask(SEARCH + "Huawei")).data["Keys"]) == 1000
        for most, code in ((0, 2), (1, 0), (1000, 0), (1001, 2), ("many", 2)):
            assert (await caller.ask(f"{SEARCH}Huawei&MaxKeys={most}")).code == code


async def test_keys_begin_with_the_prefix() -> None:
    """The first slash may be left out; a prefix without matches finds nothing."""
    sandbox = Sandbox(made(3000, span_s=10 * 86400))
    day = every(sandbox)[1500].key[:18]
    expected = sorted(one.key for one in every(sandbox) if one.key.startswith(day))
    assert 100 < len(expected) < 1000
    async with calling(sandbox) as caller:
        for prefix in (day, day[1:]):
            assert (await walk(caller, f"MaxKeys=100&NamePrefix={prefix}"))[0] == expected
        assert (await walk(caller, "NamePrefix=other/"))[0] == []
        item = (await caller.ask(f"{SEARCH}Huawei&NamePrefix={day}&MaxKeys=1")).data["Keys"][0]
    assert set(item) == {"Key", "LastModified", "Size", "ETag", "MediaUrl"}


@pytest.mark.parametrize(
    "query",
    [
        "Vendor=",
        "Vendor=tencent",
        "Vendor=Tencent&StartTime=yesterday",
        "Vendor=Tencent&EndTime=-1",
        "Vendor=Tencent&PageNumber=1.5",
        "Vendor=Tencent&PageSize=0",
        "Vendor=Tencent&PageSize=",
        "Vendor=Tencent&PageNumber=-1",
    ],
)
async def test_malformed_search_is_refused(query: str) -> None:
    """The code is 2, and nothing is listed."""
    sandbox = Sandbox(made(10))
    async with calling(sandbox) as caller:
        assert (await caller.ask(f"Action=SearchMedia&{query}")).code == 2
    assert sandbox.log[0].listed is None


async def test_list_shape_is_a_list_of_one_object() -> None:
    """With the shape `list`, the vendor's object is in a list of one here too."""
    settings = SandboxSettings(recordings=RecordingSettings(count=5), answer_shape=AnswerShape.LIST)
    async with calling(Sandbox(settings)) as caller:
        for vendor in ("Tencent", "Huawei"):
            (data,) = json.loads((await caller.ask(SEARCH + vendor)).text)["Data"][vendor]
            assert len(data["MediaInfoSet" if vendor == "Tencent" else "Keys"]) == 5


async def test_each_action_has_its_own_limit() -> None:
    """A search does not count towards the limits of the other Actions."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=2))
    describe = "Action=DescribeMediaTask&Vendor=Huawei&TaskId=1"
    async with calling(sandbox) as caller:
        codes = [
            [(await caller.ask(query)).code for _ in range(3)]
            for query in (SEARCH + "Tencent", describe, "Action=MediaThumbnails&Vendor=Tencent")
        ]
    assert codes == [[0, 0, 6], [0, 0, 6], [2, 2, 6]]
    assert [sandbox.max_in_any_second(action) for action in ("SearchMedia", "DescribeMediaTask", "")] == [
        3,
        3,
        9,
    ]
    assert sandbox.truth.summary()["by_action"] == {
        "SearchMedia": 3,
        "DescribeMediaTask": 3,
        "MediaThumbnails": 3,
    }


async def test_faults_belong_to_an_action() -> None:
    """Each Action has its own counts and faults."""
    faults = {"SearchMedia": ActionFaults(script={1: Fault.parse("http:503"), 3: Fault.parse("drop-after")})}
    sandbox = Sandbox(SandboxSettings(faults=faults, script={1: Fault.parse("code:1")}))
    async with calling(sandbox) as caller:
        assert (await caller.ask(SEARCH + "Tencent")).status == 503
        thumbnails = "Action=MediaThumbnails&Vendor=Huawei&FileId=/a&Type=SampleSnapshot&Interval=1"
        assert [(await caller.ask(thumbnails)).code for _ in range(2)] == [1, 0]
        assert (await caller.ask(SEARCH + "Tencent")).code == 0
        with pytest.raises(NoAnswerError):
            await caller.ask(SEARCH + "Tencent")
    assert [entry.fault for entry in sandbox.requests_of("SearchMedia")] == ["http:503", None, "drop-after"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": -1},
        {"count": 5, "crowd": 6},
        {"count": 5, "span_s": -1.0},
        {"count": 5, "span_s": float("nan")},
        {"count": 10**9},
    ],
)
def test_invalid_recording_settings_are_refused(wrong: dict[str, Any]) -> None:
    """The message has the allowed values."""
    with pytest.raises(ValueError, match="recordings:"):
        RecordingSettings(**wrong)


def test_200000_recordings_are_different_and_found_by_both_names() -> None:
    """Ids and keys are distinct, creation never decreases, and each name finds its recording only."""
    catalogue = MadeUp(RecordingSettings(count=200_000, until_s=UNTIL_S), 0, 0.0)
    places = range(0, 200_000, 7)
    found = [catalogue.at(place) for place in places]
    assert len({one.file_id for one in found} | {one.key for one in found}) == 2 * len(places)
    assert all(map(str.isdigit, (one.file_id for one in found)))
    assert {len(one.file_id) for one in found} == {19}
    assert [one.created_s for one in found] == sorted(one.created_s for one in found)
    assert [one.key for one in found] == sorted(one.key for one in found)
    for one in found[::500]:
        assert one == catalogue.find("Tencent", one.file_id) == catalogue.find("Huawei", one.key)
        assert catalogue.find("Huawei", one.key.replace("/record/2", "/record/1")) is None
    assert sum(one.file_id.endswith("0000") for one in found) < len(found) / 1000  # none looks rounded


def test_paging_through_200000_recordings_takes_no_memory() -> None:
    """Pages from everywhere, also with a filter that must check each name, stay small."""
    settings = made(200_000, span_s=30 * 86400)
    service = SandboxService(settings, RequestLog(1), lambda: 0.0, lambda: float(UNTIL_S))
    asked = [
        f"Tencent&PageSize=1000&StartTime={UNTIL_S - day * 86400}&EndTime={UNTIL_S - day * 86400 + 3000}"
        for day in range(1, 30, 4)
    ]
    asked += [
        f"Huawei&Marker={quote(service.recordings.with_key_at(place).key)}"
        for place in range(0, 199_000, 40_000)
    ]
    asked += ["Tencent&NamePrefix=class-0123&PageSize=100"]
    tracemalloc.start()
    try:
        for query in asked:
            entry, _ = service.handle("GET", f"/?{signed(SEARCH + query, sign(at_s=UNTIL_S))}")
            assert entry.listed
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
