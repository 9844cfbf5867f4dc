"""The sandbox over real connections, compared with the service's documents."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from support.calling import Answer, NoAnswerError, calling, sign, signed
from support.referee import reused_nonces
from yarl import URL

from batcher.sandbox import (
    SANDBOX_APP_ID,
    AnswerShape,
    Counting,
    Fault,
    Sandbox,
    SandboxSettings,
)
from batcher.sandbox.request_log import RequestLog
from batcher.sandbox.service import SandboxService

# The two requests and the answer of the service documentation, "Start a snapshot task", letter for letter.
EXAMPLE_HUAWEI = """\
https://rtc-api.zego.im/?Action=MediaThumbnails
&Vendor=Huawei
&FileId=/record/pickrecord/command_record/clarechen_test/2024-11-13-06-10-48.mp4
&Interval=2
&Type=SampleSnapshot
&<公共请求参数>"""
EXAMPLE_TENCENT = """\
https://rtc-api.zego.im/?Action=MediaThumbnails
&Vendor=Tencent
&FileId=1397757897438985100
&Definition=10
&ExtTimeOffsetSet[]=1
&ExtTimeOffsetSet[]=2
&Type=SnapshotByTimeOffset
&<公共请求参数>"""
EXAMPLE_ANSWER = """\
{
    "Code":0,
    "Message":"success",
    "Data":{
        "Tencent":{
            "TaskId":"1500030200-procedurev2-afc1fe7dfe51cd88a5d588cacba53393tt0",
            "RequestId":"474284b3-d722-490a-ba2c-de0b472eab83"}
    }
}"""

TENCENT = (
    "Action=MediaThumbnails&Vendor=Tencent&FileId=5285890784246869931&Type=SnapshotByTimeOffset&Definition=10"
    "&ExtTimeOffsetSet[]=1&ExtTimeOffsetSet[]=2.5"
)
HUAWEI = "Action=MediaThumbnails&Vendor=Huawei&FileId=/record/a/b.mp4&Type=SampleSnapshot&Interval=2"
PROBE = "Action=MediaThumbnails&Vendor=Tencent"
UNLIMITED = SandboxSettings(rate_per_s=0)


def tencent(file_id: str | int) -> str:
    return TENCENT.replace("5285890784246869931", str(file_id))


async def one_answer(settings: SandboxSettings, query: str) -> Answer:
    async with calling(Sandbox(settings)) as caller:
        return await caller.ask(query)


# What the documents say.


async def test_published_signature_is_accepted() -> None:
    """The documentation's example passes the gateway at its own time."""
    settings = SandboxSettings(
        app_id=12345,
        server_secret="9193cc662a4c0ec135ec71fb57194b38",
        clock_offset_s=1615186943 - time.time(),
    )
    public = (
        "AppId=12345&SignatureNonce=4fd24687296dd9f3&Timestamp=1615186943&SignatureVersion=2.0"
        "&Signature=43e5cfcca828314675f91b001390566a"
    )
    async with calling(Sandbox(settings)) as caller:
        assert (await caller.get(f"{HUAWEI}&{public}")).code == 0
        assert (await caller.get(f"{HUAWEI}&{public[:-1]}b")).code == 100000005


@pytest.mark.parametrize("example", [EXAMPLE_HUAWEI, EXAMPLE_TENCENT])
async def test_documented_requests_are_accepted(example: str) -> None:
    """Both example requests, with valid public parameters, start a task."""
    text = example.replace("\n", "")
    query = text.partition("?")[2].replace("&<公共请求参数>", "")
    async with calling(Sandbox()) as caller:
        assert (await caller.ask(query)).code == 0


async def test_answer_has_documented_form() -> None:
    """Fields, nesting, and the forms of both ids are those of the example."""
    documented = json.loads(EXAMPLE_ANSWER)
    answer = json.loads((await one_answer(SandboxSettings(with_request_id=False), TENCENT)).text)
    assert list(answer) == list(documented)
    assert (answer["Code"], answer["Message"]) == (0, "success")
    assert list(answer["Data"]) == ["Tencent"]
    assert list(answer["Data"]["Tencent"]) == list(documented["Data"]["Tencent"])
    for task in (answer["Data"]["Tencent"], documented["Data"]["Tencent"]):
        assert re.fullmatch(r"1500030200-procedurev2-[0-9a-f]{32}tt0", task["TaskId"])
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", task["RequestId"])


async def test_huawei_answer_has_its_own_form() -> None:
    """Huawei's task has one field, a number as text; the outer RequestId is present by default."""
    answer = json.loads((await one_answer(SandboxSettings(), HUAWEI)).text)
    assert answer["Data"] == {"Huawei": {"task_id": "289665200"}}
    assert answer["RequestId"]


@pytest.mark.parametrize(("query", "vendor"), [(TENCENT, "Tencent"), (HUAWEI, "Huawei")])
async def test_list_shape_is_a_list_of_one_object(query: str, vendor: str) -> None:
    """With the shape `list`, the vendor's object is in a list of one."""
    settings = SandboxSettings(answer_shape=AnswerShape.LIST)
    answer = json.loads((await one_answer(settings, query)).text)
    assert [type(task) for task in answer["Data"][vendor]] == [dict]


async def test_second_shape_has_the_task_in_the_second_object() -> None:
    """A reader must look at every object of the list."""
    settings = SandboxSettings(answer_shape=AnswerShape.SECOND)
    answer = json.loads((await one_answer(settings, HUAWEI)).text)
    assert answer["Data"] == {"Huawei": [{}, {"task_id": "289665200"}]}


async def test_task_ids_are_distinct_and_repeat_with_seed() -> None:
    """The same requests get the same task ids from the same seed, never one twice."""
    ids: list[list[str]] = []
    for seed in (1, 1, 2):
        sandbox = Sandbox(SandboxSettings(rate_per_s=0, seed=seed))
        async with calling(sandbox) as caller:
            for query in (TENCENT, TENCENT, HUAWEI, HUAWEI):
                await caller.ask(query)
        ids.append(list(sandbox.accepted()))
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 8


@pytest.mark.parametrize(
    ("query", "changes", "code"),
    [
        ("Vendor=Tencent", {}, 100000006),
        ("Action=", {}, 100000006),
        ("Action=StartTheSnapshots", {}, 100000007),
        (TENCENT, {"AppId": None}, 100000001),
        (TENCENT, {"AppId": ""}, 100000001),
        (TENCENT, {"AppId": "12x"}, 100000001),
        (TENCENT, {"AppId": "4294967296"}, 100000001),
        (TENCENT, {"AppId": f"{SANDBOX_APP_ID}&AppId={SANDBOX_APP_ID}"}, 100000001),
        (TENCENT, {"AppId": "42"}, 100000010),
        (TENCENT, {"SignatureNonce": None}, 100000008),
        (TENCENT, {"SignatureNonce": ""}, 100000008),
        (TENCENT, {"SignatureNonce": "4FD24687296DD9F3"}, 100000005),
        (TENCENT, {"Timestamp": None}, 100000002),
        (TENCENT, {"Timestamp": ""}, 100000002),
        (TENCENT, {"Timestamp": "2024-11-13"}, 100000003),
        (TENCENT, {"Timestamp": "1615186943.5"}, 100000003),
        (TENCENT, {"Timestamp": "1615186943"}, 100000004),
        (TENCENT, {"SignatureVersion": None}, 100000013),
        (TENCENT, {"SignatureVersion": "1.0"}, 100000014),
        (TENCENT, {"Signature": None}, 100000009),
        (TENCENT, {"Signature": ""}, 100000009),
        (TENCENT, {"Signature": "0" * 32}, 100000005),
        (TENCENT, {"IsTest": "true"}, 100000016),
        (TENCENT, {"IsTest": "yes"}, 100000016),
        (TENCENT, {"IsTest": "false"}, 0),
    ],
)
async def test_gateway_refuses_with_documented_codes(
    query: str, changes: Mapping[str, str | None], code: int
) -> None:
    """Each missing or wrong public parameter has its code, with HTTP status 200."""
    async with calling(Sandbox()) as caller:
        answer = await caller.get(signed(query, changes))
    assert (answer.status, answer.code) == (200, code)


async def test_signature_with_other_secret_is_refused() -> None:
    """The signature proves the secret."""
    async with calling(Sandbox()) as caller:
        answer = await caller.get(signed(TENCENT, sign(secret="f" * 32)))
    assert (answer.status, answer.code) == (200, 100000005)


async def test_test_phase_requires_is_test() -> None:
    """With the setting `is_test`, only calls with IsTest=true pass."""
    async with calling(Sandbox(SandboxSettings(is_test=True))) as caller:
        assert (await caller.ask(TENCENT)).code == 100000016
        assert (await caller.ask(TENCENT + "&IsTest=true")).code == 0


@pytest.mark.parametrize(("off_s", "code"), [(-605, 100000004), (-595, 0), (595, 0), (605, 100000004)])
async def test_timestamp_within_ten_minutes_passes(off_s: int, code: int) -> None:
    """The difference to the service's clock may be 10 minutes in both directions."""
    async with calling(Sandbox()) as caller:
        assert (await caller.get(signed(TENCENT, sign(at_s=time.time() + off_s)))).code == code


async def test_date_header_shows_services_clock() -> None:
    """A caller whose clock is an hour slow learns the time from the refusal and then passes."""
    async with calling(Sandbox(SandboxSettings(clock_offset_s=3600))) as caller:
        refused = await caller.ask(TENCENT)
        assert refused.code == 100000004
        service_s = parsedate_to_datetime(refused.headers["Date"]).timestamp()
        assert service_s == pytest.approx(time.time() + 3600, abs=5)
        assert (await caller.get(signed(TENCENT, sign(at_s=service_s)))).code == 0


@pytest.mark.parametrize(
    "query",
    [
        PROBE,
        TENCENT.replace("Vendor=Tencent&", ""),
        TENCENT.replace("Vendor=Tencent", "Vendor=tencent"),
        TENCENT.replace("Vendor=Tencent", "Vendor=Tencent&Vendor=Tencent"),
        TENCENT.replace("5285890784246869931", ""),
        TENCENT.replace("5285890784246869931", "5.28589E%2B18"),
        TENCENT.replace("5285890784246869931", "/record/a.mp4"),
        TENCENT.replace("5285890784246869931", quote("１２３")),
        TENCENT + "&FileId=1",
        TENCENT.replace("Type=SnapshotByTimeOffset&", ""),
        TENCENT.replace("SnapshotByTimeOffset", "Snapshot"),
        TENCENT.replace("&Definition=10", ""),
        TENCENT.replace("&Definition=10", "&Definition="),
        TENCENT.replace("&Definition=10", "&Definition=ten"),
        TENCENT.replace("&Definition=10", "&Definition=10.5"),
        TENCENT.replace("&Definition=10", "&Definition=10&Definition=10"),
        TENCENT.replace("ExtTimeOffsetSet[]", "OffsetSet"),
        TENCENT + "&ExtTimeOffsetSet[]=",
        TENCENT + "&ExtTimeOffsetSet=",
        TENCENT + "&ExtTimeOffsetSet[]=-1",
        TENCENT + "&ExtTimeOffsetSet[]=1,2",
        TENCENT + "&ExtTimeOffsetSet[]=1e3",
        TENCENT + "&Interval=often",
        HUAWEI.replace("&Interval=2", ""),
        HUAWEI.replace("&Interval=2", "&Interval="),
        HUAWEI.replace("&Interval=2", "&Interval=0"),
        HUAWEI.replace("&Interval=2", "&Interval=-2"),
        HUAWEI.replace("&Interval=2", "&Interval=2&Interval=2"),
        HUAWEI.replace("SampleSnapshot", "SnapshotByTimeOffset"),
        HUAWEI.replace("SampleSnapshot&Interval=2", "SnapshotByTimeOffset&ExtTimeOffsetSet[]=1"),
        HUAWEI.replace("b.mp4", "%FF.mp4"),
        HUAWEI.replace("b.mp4", "%00.mp4"),
        HUAWEI + "&Definition=ten",
    ],
)
async def test_wrong_parameters_are_refused(query: str) -> None:
    """A missing or malformed parameter is Code 2 and starts nothing."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        answer = await caller.ask(query)
    assert (answer.status, answer.code) == (200, 2)
    assert sandbox.accepted() == {}


@pytest.mark.parametrize(
    "query",
    [
        TENCENT + "&SomethingNew=1",
        TENCENT + "&Interval=2",
        TENCENT.replace("[]", "%5B%5D"),
        TENCENT.replace("SnapshotByTimeOffset", "SampleSnapshot"),
        "Action=MediaThumbnails&Vendor=Tencent&FileId=1&Type=SampleSnapshot&Definition=10",
        HUAWEI + "&Definition=10",
        HUAWEI.replace("Interval=2", "Interval=0.5"),
        HUAWEI.replace("/record/a/b.mp4", quote("/录制/第 1+1 次.mp4", safe="")),
    ],
)
async def test_valid_parameters_are_accepted(query: str) -> None:
    """Documented parameters, and unknown additional ones, start a task."""
    assert (await one_answer(SandboxSettings(), query)).code == 0


async def test_file_id_is_read_as_form_text() -> None:
    """Percent signs are decoded and a bare plus is a space, so a missing encoding is visible."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        await caller.ask(HUAWEI.replace("b.mp4", quote("录 1+1.mp4")))
        await caller.ask(HUAWEI.replace("b.mp4", "1+1.mp4"))
    assert [entry.file_id for entry in sandbox.log] == ["/record/a/录 1+1.mp4", "/record/a/1 1.mp4"]


async def test_other_path_or_method_is_an_http_error() -> None:
    """Another path or method gets an HTTP error with a page, and is logged."""
    sandbox = Sandbox()
    async with sandbox.serve() as url, aiohttp.ClientSession() as session:
        async with session.get(url + "v2") as response:
            assert (response.status, response.content_type) == (404, "text/html")
        async with session.put(f"{url}?{signed(TENCENT)}", data="x") as response:
            assert response.status == 405
    assert [entry.status for entry in sandbox.log] == [404, 405]


# The rate limit.


@pytest.mark.parametrize("counting", list(Counting))
async def test_calls_above_limit_are_throttled(counting: Counting) -> None:
    """Of a burst, the limit is accepted and the rest is throttled."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=5, counting=counting))
    async with calling(sandbox) as caller:
        answers = await asyncio.gather(*(caller.ask(TENCENT) for _ in range(30)))
    codes = [answer.code for answer in answers]
    assert set(codes) == {0, 6}
    assert 5 <= codes.count(0) <= 10  # two aligned seconds, or what a bucket regains, if the machine is slow
    assert [entry.throttled for entry in sandbox.log].count(True) == codes.count(6)
    assert sandbox.truth.throttled_share() == codes.count(6) / 30


async def test_checks_run_in_documented_order() -> None:
    """A badly signed call does not count towards the limit; a call with bad parameters does."""
    async with calling(Sandbox(SandboxSettings(rate_per_s=1))) as caller:
        assert (await caller.get(signed(TENCENT, {"Signature": "0" * 32}))).code == 100000005
        assert (await caller.ask(PROBE)).code == 2
        assert (await caller.ask(PROBE)).code == 6


async def test_throttle_code_can_be_7() -> None:
    """With `throttle_code` 7, too frequent calls get the code that also means failed authentication."""
    async with calling(Sandbox(SandboxSettings(rate_per_s=1, throttle_code=7))) as caller:
        assert [(await caller.ask(TENCENT)).code for _ in range(2)] == [0, 7]


async def test_jitter_changes_order_of_arrival_only() -> None:
    """Requests that leave together arrive one by one, and none is lost."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=0, jitter_ms=5))
    async with calling(sandbox) as caller:
        await asyncio.gather(*(caller.ask(tencent(n)) for n in range(1, 41)))
    arrivals = [entry.arrived_s for entry in sandbox.log]
    assert arrivals == sorted(arrivals)
    assert [int(entry.file_id) for entry in sandbox.log] != list(range(1, 41))
    assert len(sandbox.accepted()) == 40
    assert sandbox.max_in_any_second() == 40


async def test_latency_delays_only_the_answer() -> None:
    """A task is in the log while its answer is delayed."""
    sandbox = Sandbox(SandboxSettings(latency_ms=50))
    async with calling(sandbox) as caller:
        asking = asyncio.create_task(caller.ask(TENCENT))
        await sandbox.wait_for(lambda: len(sandbox.log) == 1)
        assert (sandbox.log[0].accepted, sandbox.log[0].answered, asking.done()) == (True, False, False)
        assert (await asking).code == 0
        assert sandbox.log[0].answered


# Files that mean something.


@pytest.mark.parametrize(
    ("prefix", "directory", "codes"),
    [
        ("404404404", "missing", [41003, 41003, 41003]),
        ("100010001", "wrong-id", [1000, 1000, 1000]),
        ("400400400", "wrong-vendor", [4, 4, 4]),
        ("503503503", "busy", [1, 1, 0]),
        ("408408408", "slow", [0, 0, 0]),
    ],
)
async def test_marked_file_gets_code_of_its_marker(prefix: str, directory: str, codes: list[int]) -> None:
    """Both vendors' markers give the codes of the table, counted for each file separately."""
    async with calling(Sandbox(SandboxSettings(rate_per_s=0, slow_ms=1))) as caller:
        for query in (
            tencent(prefix + "1234567891"),
            tencent(prefix + "1234567892"),
            HUAWEI.replace("/record/a/", f"/record/{directory}/"),
        ):
            assert [(await caller.ask(query)).code for _ in range(3)] == codes


@pytest.mark.parametrize("query", [tencent("5045045041234567891"), HUAWEI.replace("/a/", "/lost-answer/")])
async def test_lost_answer_marker_loses_one_answer(query: str) -> None:
    """The first request starts a task without an answer; a second one starts another and is answered."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        with pytest.raises(NoAnswerError):
            await caller.ask(query)
        assert (await caller.ask(query)).code == 0
    assert [(entry.accepted, entry.answered) for entry in sandbox.log] == [(True, False), (True, True)]
    assert len(sandbox.accepted()) == 2


def test_throttled_request_does_not_count_for_marker() -> None:
    """A busy file is busy for the first two requests that reach the service."""
    settings, arrivals_s = SandboxSettings(rate_per_s=1), iter([0.0, 0.5, 1.0, 1.5, 2.0])
    service = SandboxService(settings, RequestLog(), monotonic=lambda: next(arrivals_s), wall=time.time)
    target = "/?" + signed(tencent("5035035031234567891"))
    assert [service.handle("GET", target)[0].code for _ in range(5)] == [1, 6, 1, 6, 0]


async def test_markers_can_be_switched_off() -> None:
    """Without markers every well-formed id is an ordinary file."""
    settings = SandboxSettings(markers=False)
    assert (await one_answer(settings, tencent("4044044041234567891"))).code == 0


# Faults.


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [("drop-before", False), ("drop-after", True), ("cut", True)],
)
async def test_closing_fault_leaves_no_whole_answer(fault: str, accepted: bool) -> None:
    """Whether there is a task depends on the fault."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse(fault)}))
    async with calling(sandbox) as caller:
        with pytest.raises((NoAnswerError, aiohttp.ClientPayloadError)):
            await caller.ask(TENCENT)
        assert (await caller.ask(TENCENT)).code == 0
    first = sandbox.log[0]
    assert (first.accepted, first.answered, first.code, first.fault) == (accepted, False, None, fault)
    assert (first.task_id is not None) == accepted


async def test_cut_answer_ends_in_the_middle() -> None:
    """Status and length announce more than is sent."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse("cut")}))
    async with sandbox.serve() as url:
        head, _, body = (await _raw(url, f"GET /?{signed(TENCENT)} HTTP/1.1\r\nHost: x\r\n\r\n")).partition(
            b"\r\n\r\n"
        )
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length
    assert head.startswith(b"HTTP/1.1 200")
    assert body.startswith(b'{"Code":0')
    assert 0 < len(body) < int(length[1])


@pytest.mark.parametrize(("fault", "accepted"), [("hang", True), ("hang-before", False)])
async def test_hanging_fault_never_answers(fault: str, accepted: bool) -> None:
    """The request is logged, the client gets nothing, and the sandbox still closes immediately."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse(fault), 2: Fault.parse(fault)}))
    async with calling(sandbox) as caller:
        leaving = asyncio.create_task(caller.ask(TENCENT))
        staying = asyncio.create_task(caller.ask(TENCENT))
        await sandbox.wait_for(lambda: len(sandbox.log) == 2)
        leaving.cancel()
        assert not staying.done()
        before_s = time.monotonic()
        await sandbox.stop_listening()
        assert time.monotonic() - before_s < 20  # aiohttp waits for 60 s
        with pytest.raises(NoAnswerError):
            await staying
    assert [(entry.accepted, entry.answered) for entry in sandbox.log] == [(accepted, False)] * 2


@pytest.mark.parametrize(
    ("fault", "status", "accepted"),
    [
        ("http:500", 500, False),
        ("http:404", 404, False),
        ("http:302", 302, False),
        ("http-after:502", 502, True),
        ("html", 200, False),
    ],
)
async def test_page_fault_answers_with_html(fault: str, status: int, accepted: bool) -> None:
    """An HTML page has the fault's status and no Code."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse(fault)}))
    async with calling(sandbox) as caller:
        answer = await caller.ask(TENCENT)
    assert (answer.status, answer.text[:6]) == (status, "<html>")
    entry = sandbox.log[0]
    assert (entry.accepted, entry.answered, entry.code, entry.status) == (accepted, True, None, status)


async def test_retry_after_is_sent_if_given() -> None:
    """Only a fault with seconds has the header."""
    script = {1: Fault.parse("http:503:2"), 2: Fault.parse("http:429")}
    async with calling(Sandbox(SandboxSettings(script=script))) as caller:
        assert (await caller.ask(TENCENT)).headers["Retry-After"] == "2"
        assert "Retry-After" not in (await caller.ask(TENCENT)).headers


async def test_body_fault_hides_task_id() -> None:
    """The HTTP answer is complete, its task id is not readable, and there is a task."""
    kinds = ["cut-json", "empty", "no-code", "no-task-id"]
    sandbox = Sandbox(SandboxSettings(script={n: Fault.parse(text) for n, text in enumerate(kinds, 1)}))
    async with calling(sandbox) as caller:
        cut_json, empty, no_code, no_task_id = [await caller.ask(TENCENT) for _ in kinds]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut_json.text)
    assert empty.text == ""
    assert "Code" not in json.loads(no_code.text)
    assert (no_task_id.code, "Data" in json.loads(no_task_id.text)) == (0, False)
    assert [entry.code for entry in sandbox.log] == [None, None, None, 0]
    assert all(entry.accepted and entry.answered for entry in sandbox.log)


async def test_fault_can_be_a_code_or_a_delay() -> None:
    """`code:N` is answered without a task, `slow:MS` is the right answer."""
    sandbox = Sandbox(SandboxSettings(script={1: Fault.parse("code:100000015"), 2: Fault.parse("slow:1")}))
    async with calling(sandbox) as caller:
        assert [(await caller.ask(TENCENT)).code for _ in range(2)] == [100000015, 0]
    assert [entry.accepted for entry in sandbox.log] == [False, True]


async def test_refused_request_with_lost_answer_stays_refused() -> None:
    """A fault of the answer does not turn a bad request into a task."""
    sandbox = Sandbox(SandboxSettings(shares={"drop-after": 1.0}))
    async with calling(sandbox) as caller:
        with pytest.raises(NoAnswerError):
            await caller.ask(TENCENT.replace("&Definition=10", ""))
    assert sandbox.accepted() == {}


async def test_probe_gets_no_fault() -> None:
    """A call without FileId gets Code 2 with any shares, and the script does not count it."""
    settings = SandboxSettings(shares={"drop-before": 1.0}, script={1: Fault.parse("code:1000")})
    async with calling(Sandbox(settings)) as caller:
        assert (await caller.ask(PROBE)).code == 2
        assert (await caller.ask(TENCENT)).code == 1000


async def test_account_code_applies_to_every_call() -> None:
    """While it is set, even a probe gets it."""
    sandbox = Sandbox(SandboxSettings(account_code=3))
    async with calling(sandbox) as caller:
        assert [(await caller.ask(query)).code for query in (PROBE, TENCENT)] == [3, 3]
        sandbox.account_code = None
        assert [(await caller.ask(query)).code for query in (PROBE, TENCENT)] == [2, 0]


# Outages and connections.


async def test_outage_closes_every_connection() -> None:
    """During an outage no call is answered or accepted."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        sandbox.outage = True
        for query in (PROBE, TENCENT):
            with pytest.raises(NoAnswerError):
                await caller.ask(query)
        sandbox.outage = False
        assert (await caller.ask(TENCENT)).code == 0
    assert [entry.fault for entry in sandbox.log] == ["outage", "outage", None]
    assert len(sandbox.accepted()) == 1


async def test_listening_can_stop_and_restart_on_same_port() -> None:
    """In between, connections are refused, also to a client that kept one open."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        assert (await caller.ask(TENCENT)).code == 0
        await sandbox.stop_listening()
        with pytest.raises((aiohttp.ClientConnectorError, NoAnswerError)):
            await caller.ask(TENCENT)
        with pytest.raises(aiohttp.ClientConnectorError):
            await caller.ask(TENCENT)
        await sandbox.start_listening()
        assert sandbox.url == caller.url
        assert (await caller.ask(TENCENT)).code == 0
    assert len(sandbox.log) == 2


async def test_stopping_does_not_wait_for_slow_answers() -> None:
    """A delayed request is cut off."""
    sandbox = Sandbox(SandboxSettings(latency_ms=60_000))
    async with calling(sandbox) as caller:
        asking = asyncio.create_task(caller.ask(TENCENT))
        await sandbox.wait_for(lambda: len(sandbox.log) == 1)
        await asyncio.wait_for(sandbox.stop_listening(), 2)
        with pytest.raises(NoAnswerError):
            await asking
    assert not sandbox.log[0].answered


async def test_connection_without_request_is_only_counted() -> None:
    """It is counted as a connection and appears nowhere else."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        port = URL(caller.url).port
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
        assert (await caller.ask(TENCENT)).code == 0
        assert (await caller.ask(TENCENT)).code == 0
    assert sandbox.connections_made == 4
    assert len(sandbox.log) == 2


async def test_bytes_without_http_get_status_400() -> None:
    """They are not in the log."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        for broken in (b"\x00\x01\x02\r\n\r\n", b"GET /?FileId=\xff HTTP/1.1\r\nHost: x\r\n\r\n"):
            assert b" 400 " in (await _raw(caller.url, broken)).splitlines()[0]
        assert (await caller.ask(TENCENT)).code == 0
    assert len(sandbox.log) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
async def test_only_loopback_is_served(host: str) -> None:
    """An address that other machines could reach is refused."""
    with pytest.raises(ValueError, match="loopback"):
        async with Sandbox().serve(host):
            pass


async def test_sandbox_serves_once_at_a_time() -> None:
    """Serving twice concurrently is an error; serving again later continues the same log."""
    sandbox = Sandbox()
    for times in (1, 2):
        async with calling(sandbox) as caller:
            with pytest.raises(RuntimeError, match="serves already"):
                async with sandbox.serve():
                    pass
            assert (await caller.ask(TENCENT)).code == 0
        assert len(sandbox.accepted()) == times
    with pytest.raises(RuntimeError, match="does not serve"):
        await sandbox.start_listening()


async def test_localhost_is_one_address() -> None:
    """The name means 127.0.0.1, so that the URL is the listening address."""
    async with Sandbox().serve("localhost") as url:
        assert url.startswith("http://127.0.0.1:")


# The truth log.


async def test_entry_has_request_and_answer() -> None:
    """Everything in the request is recorded, except the signature."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        await caller.ask(TENCENT)
    (entry,) = sandbox.log
    assert (entry.number, entry.action, entry.vendor) == (1, "MediaThumbnails", "Tencent")
    assert (entry.file_id, entry.type) == ("5285890784246869931", "SnapshotByTimeOffset")
    assert (entry.definition, entry.interval, entry.offsets) == ("10", None, ("1", "2.5"))
    assert (entry.app_id, len(entry.nonce)) == (str(SANDBOX_APP_ID), 16)
    assert (entry.code, entry.status, entry.fault, entry.throttled) == (0, 200, None, False)
    assert entry.arrived_at.utcoffset() is not None
    assert entry.target.startswith("/?" + TENCENT)
    assert entry.target.endswith("&Signature=[hidden]")
    assert "SignatureNonce=" + entry.nonce in entry.target
    assert sandbox.accepted() == {entry.task_id: entry}
    assert sandbox.requests_for("5285890784246869931") == [entry]


def test_rates_are_computed_from_arrivals() -> None:
    """The peak is over any window of one second, and the mean over all arrivals."""
    arrivals_s = [10.0, 10.5, 10.99, 11.0, 11.4, 20.0]
    clock, log = iter(arrivals_s), RequestLog()
    service = SandboxService(UNLIMITED, log, monotonic=lambda: next(clock), wall=time.time)
    for _ in arrivals_s:
        service.handle("GET", "/?" + signed(TENCENT))
    assert log.max_in_any_second() == 4
    assert log.accepted_per_s() == pytest.approx(5 / 10.0)


async def test_log_file_has_task_before_answer_leaves(tmp_path: Path) -> None:
    """A line is in the file while the answer is withheld, and the file is appended to."""
    path = tmp_path / "deep" / "truth.jsonl"
    for _ in range(2):
        sandbox = Sandbox(SandboxSettings(log_path=path, script={2: Fault.parse("hang")}))
        async with calling(sandbox) as caller:
            await caller.ask(TENCENT)
            asking = asyncio.create_task(caller.ask(TENCENT))
            await sandbox.wait_for(lambda: len(sandbox.log) == 2)  # noqa: B023 - not kept
            last = json.loads(path.read_text("utf-8").splitlines()[-1])
            assert (last["number"], last["accepted"], last["task_id"]) == (2, True, sandbox.log[1].task_id)
            asking.cancel()
    assert len(path.read_text("utf-8").splitlines()) == 4


async def test_reused_nonce_is_found() -> None:
    """A nonce used twice is accepted twice and can be found."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        query = signed(TENCENT)
        await caller.get(query)
        await caller.get(query)
        await caller.ask(TENCENT)
    assert [len(entries) for entries in reused_nonces(sandbox.log).values()] == [2]
    assert len(sandbox.accepted()) == 3


async def test_waiting_without_success_times_out() -> None:
    """The TimeoutError states the counts of the sandbox."""
    with pytest.raises(TimeoutError, match="0 requests, 0 accepted"):
        await Sandbox().wait_for(lambda: False, deadline_s=0.01)


async def test_memory_can_be_bounded() -> None:
    """With `keep_entries` only the latest stay, while numbers and counts continue."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=0, keep_entries=2))
    async with calling(sandbox) as caller:
        for _ in range(7):
            await caller.ask(TENCENT)
        lines = (await caller.control("GET", "log?after=6")).text.splitlines()
    assert 2 <= len(sandbox.log) <= 4
    assert sandbox.log[-1].number == 7
    assert [json.loads(line)["number"] for line in lines] == [7]
    assert sandbox.truth.summary()["accepted"] == 7


# The control page.


async def test_control_page_shows_log_and_counts() -> None:
    """Another terminal can read the log, and reading it changes nothing."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=2, script={1: Fault.parse("drop-after")}))
    async with calling(sandbox) as caller:
        with pytest.raises(NoAnswerError):
            await caller.ask(TENCENT)
        await caller.ask(HUAWEI)
        await caller.ask(HUAWEI)
        summary = json.loads((await caller.control("GET", "summary")).text)
        log = await caller.control("GET", "log")
    assert summary == {
        "requests": 3,
        "accepted": 2,
        "accepted_per_s": pytest.approx(sandbox.truth.accepted_per_s(), abs=0.001),
        "throttled": 1,
        "throttled_share": 0.3333,
        "max_in_any_second": 3,
        "by_action": {"MediaThumbnails": 3},
        "by_code": {"0": 1, "6": 1},
        "without_code": 1,
        "by_fault": {"drop-after": 1},
    }
    entries = [json.loads(line) for line in log.text.splitlines()]
    assert [entry["answered"] for entry in entries] == [False, True, True]
    assert {entry["task_id"] for entry in entries if entry["accepted"]} == set(sandbox.accepted())


async def test_control_page_begins_and_ends_outage() -> None:
    """The page itself still answers during the outage."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        assert (await caller.control("POST", "outage?on=true")).text == '{"outage": true}\n'
        with pytest.raises(NoAnswerError):
            await caller.ask(TENCENT)
        assert (await caller.control("POST", "outage?on=false")).status == 200
        assert (await caller.ask(TENCENT)).code == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "outage", 400),
        ("POST", "outage?on=1", 400),
        ("GET", "outage?on=true", 404),
        ("GET", "log?after=x", 400),
        ("GET", "", 404),
    ],
)
async def test_control_page_refuses_other_requests_with_hint(method: str, path: str, status: int) -> None:
    """An unknown control request does nothing."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        answer = await caller.control(method, path)
    assert (answer.status, answer.text.endswith("\n"), sandbox.outage) == (status, True, False)


async def _raw(url: str, request: str | bytes) -> bytes:
    """Send bytes as they are and read until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    writer.write(request.encode() if isinstance(request, str) else request)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
