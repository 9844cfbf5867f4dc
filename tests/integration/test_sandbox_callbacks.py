"""Callbacks of the sandbox: content, signature and retries."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from aiohttp import web
from support.calling import Caller, NoAnswerError, calling

from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_CALLBACK_SECRET,
    CallbackBody,
    CallbackFault,
    CallbackSettings,
    Fate,
    Fault,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
    TaskSettings,
)
from batcher.sandbox.callbacks import signature

TENCENT_ID, KEY = "5285890784246869931", "/record/a/b.mp4"
TENCENT = (
    f"Action=MediaThumbnails&Vendor=Tencent&FileId={TENCENT_ID}&Type=SnapshotByTimeOffset&Definition=10"
    "&ExtTimeOffsetSet[]=1&ExtTimeOffsetSet[]=2.5"
)
HUAWEI = f"Action=MediaThumbnails&Vendor=Huawei&FileId={KEY}&Type=SampleSnapshot&Interval=20"


@dataclass
class Receiver:
    """A receiver that keeps callbacks and answers with the statuses in turn, then 200."""

    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The bodies as JSON."""
        return [json.loads(body) for body in self.bodies]

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.types.append(request.content_type)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": self.url} if status == 302 else None)


@dataclass
class Hanging(Receiver):
    """A receiver that never answers the first."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        if not self.reached.is_set():
            self.reached.set()
            await asyncio.Event().wait()
        return await super().take(request)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    """A server on a free port."""
    app = web.Application()
    app.router.add_post("/callbacks", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks"
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(settings: SandboxSettings, receiver: Receiver) -> AsyncIterator[tuple[Sandbox, Caller]]:
    """A sandbox that calls the receiver back."""
    async with receiving(receiver):
        sandbox = Sandbox(settings)
        sandbox.callback_url = receiver.url
        async with calling(sandbox) as caller:
            yield sandbox, caller


def settings(**callbacks: Any) -> SandboxSettings:  # noqa: ANN401 - any field of CallbackSettings
    return SandboxSettings(rate_per_s=None, callbacks=CallbackSettings(**callbacks))


def rightly_signed(fields: dict[str, Any], secret: str = SANDBOX_CALLBACK_SECRET) -> bool:
    text = "".join(sorted([secret, str(fields["timestamp"]), fields["nonce"]]))
    return bool(fields["signature"] == hashlib.sha1(text.encode()).hexdigest())


def test_published_callback_signature_is_computed() -> None:
    """The documentation's example yields its signature."""
    assert signature("secret", "1470820198", "123412") == "5bd59fd62953a8059fb7eaba95720f66d19e4517"


async def test_ended_task_is_called_back() -> None:
    """The callback has the pictures as JSON in a text, their times, and Tencent's file id as `field_id`."""
    receiver = Receiver()
    async with sending(SandboxSettings(tasks=TaskSettings(time_s=60)), receiver) as (sandbox, caller):
        task_id = (await caller.ask(TENCENT)).data["TaskId"]
        assert receiver.bodies == []
        sandbox.advance(60)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        polled = (await caller.ask(f"Action=DescribeMediaTask&Vendor=Tencent&TaskId={task_id}")).data
    (fields,) = receiver.fields
    assert set(fields) == {
        *("event", "appid", "timestamp", "nonce", "signature"),
        *("task_id", "vendor", "field_id", "snapshot_pic_list"),
    }
    assert (fields["event"], fields["task_id"], fields["vendor"]) == ("snapshot", task_id, "tencent")
    assert (fields["field_id"], fields["appid"]) == (TENCENT_ID, str(SANDBOX_APP_ID))
    pictures = json.loads(fields["snapshot_pic_list"])
    assert [one["offset"] for one in pictures] == [1000, 2500]
    assert [one["url"] for one in pictures] == polled["ThumbnailsUrl"]
    assert rightly_signed(fields)
    assert fields["timestamp"] == pytest.approx(time.time(), abs=60)
    (sent,) = sandbox.callbacks
    assert (sent.number, sent.event, sent.task_id, sent.file_id) == (1, "snapshot", task_id, TENCENT_ID)
    assert (sent.fault, sent.attempt, sent.nonce, sent.status) == (None, 1, fields["nonce"], 200)
    assert sent.body == receiver.bodies[0]


async def test_huawei_callback_has_no_file_and_no_times() -> None:
    """Its pictures have addresses, although a poll names objects."""
    receiver = Receiver()
    async with sending(SandboxSettings(), receiver) as (sandbox, caller):
        task_id = (await caller.ask(HUAWEI)).data["task_id"]
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
    (fields,) = receiver.fields
    assert (fields["vendor"], "field_id" in fields) == ("hw", False)
    assert json.loads(fields["snapshot_pic_list"]) == [
        {"url": f"{caller.url}_pictures/record/a/snapshots/{task_id}/{n:04d}.jpg"} for n in (1, 2, 3)
    ]


async def test_failed_task_is_called_back_without_pictures() -> None:
    """An endless task is never called back."""
    receiver = Receiver()
    fates = {TENCENT_ID: Fate.FAIL, KEY: Fate.ENDLESS}
    async with sending(SandboxSettings(tasks=TaskSettings(fates=fates)), receiver) as (
        sandbox,
        caller,
    ):
        await caller.ask(HUAWEI)
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
    assert [(one["vendor"], one["snapshot_pic_list"]) for one in receiver.fields] == [("tencent", "[]")]


async def test_bodies_have_three_forms() -> None:
    """JSON, URL-encoded JSON and a form have the same content."""
    said = []
    for body in CallbackBody:
        receiver = Receiver()
        async with sending(settings(body=body), receiver) as (sandbox, caller):
            await caller.ask(TENCENT)
            await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
            sandbox.send_record("Tencent", TENCENT_ID)
            await sandbox.wait_for(lambda: len(sandbox.callbacks) == 2)
        texts = [raw.decode() for raw in receiver.bodies]
        if body is CallbackBody.URLENCODED:
            assert all("{" not in text for text in texts)
            texts = list(map(unquote, texts))
        if body is CallbackBody.FORM:
            assert set(receiver.types) == {"application/x-www-form-urlencoded"}
            fields = [{name: one for name, (one,) in parse_qs(text).items()} for text in texts]
            assert json.loads(fields[1]["extra_params"])["FileID"] == TENCENT_ID
        else:
            fields = [json.loads(text) for text in texts]
        assert all(map(rightly_signed, fields))
        said.append([sorted(one) for one in fields])
    assert said[0] == said[1] == said[2]


async def test_refused_callback_is_retried_by_schedule() -> None:
    """Retries follow after 2, 4, 8, 16 and 32 s, each signed anew; then the callback is lost."""
    receiver = Receiver(statuses=[500] * 10)
    async with sending(SandboxSettings(), receiver) as (sandbox, caller):
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        for number, pause_s in enumerate((2, 4, 8, 16, 32), 1):
            sandbox.advance(pause_s - 1)
            for _ in range(3):  # time enough for one that came too soon
                await caller.control("GET", "summary")
            assert len(receiver.bodies) == number
            sandbox.advance(1)
            await sandbox.wait_for(lambda: len(sandbox.callbacks) == number + 1)  # noqa: B023 - not kept
        sandbox.advance(1_000_000)
        sandbox.send_record("Tencent", TENCENT_ID)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 7)
    assert [sent.attempt for sent in sandbox.callbacks] == [1, 2, 3, 4, 5, 6, 1]
    assert len({one["nonce"] for one in receiver.fields}) == 7
    assert {one["task_id"] for one in receiver.fields[:6]} == set(sandbox.accepted())


async def test_schedule_can_be_shorter() -> None:
    """A missing receiver is retried like one that refuses."""
    sandbox = Sandbox(settings(url="http://127.0.0.1:9/", schedule_s=(0, 0)))
    async with calling(sandbox) as caller:
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 3)
    assert [(sent.attempt, sent.status) for sent in sandbox.callbacks] == [(1, None), (2, None), (3, None)]


async def test_accepted_callback_is_sent_once() -> None:
    """Any status of 200 to 299 accepts it; a redirect does not, and is not followed."""
    receiver = Receiver(statuses=[302, 204])
    async with sending(settings(schedule_s=(0, 0, 0)), receiver) as (sandbox, caller):
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 2)
        sandbox.advance(1_000)
        await caller.ask(HUAWEI)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 3)
    assert [sent.status for sent in sandbox.callbacks] == [302, 204, 200]


async def test_lost_callback_is_never_sent() -> None:
    """It is recorded as lost and not retried."""
    receiver = Receiver()
    async with sending(settings(by_file={TENCENT_ID: CallbackFault.LOST}), receiver) as (
        sandbox,
        caller,
    ):
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        sandbox.advance(1_000)
        await caller.ask(HUAWEI)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 2)
    assert [one["vendor"] for one in receiver.fields] == ["hw"]
    assert (sandbox.callbacks[0].fault, sandbox.callbacks[0].status) == (CallbackFault.LOST, None)


@pytest.mark.parametrize("fault", [CallbackFault.DOUBLED, CallbackFault.REPLAYED])
async def test_doubled_and_replayed_callbacks_are_sent_twice(fault: CallbackFault) -> None:
    """A doubled one is signed twice; a replayed one has the same bytes."""
    receiver = Receiver()
    async with sending(settings(by_file={TENCENT_ID: fault}), receiver) as (sandbox, caller):
        await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 2)
        await caller.ask(HUAWEI)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 3)
    first, second, _ = receiver.fields
    assert (first["nonce"] == second["nonce"]) == (fault is CallbackFault.REPLAYED)
    assert (receiver.bodies[0] == receiver.bodies[1]) == (fault is CallbackFault.REPLAYED)
    assert first["task_id"] == second["task_id"]
    assert all(map(rightly_signed, receiver.fields))


async def test_faulty_callback_has_one_fault() -> None:
    """Everything else about it is correct."""
    seen = {}
    for fault in (
        CallbackFault.FORGED,
        CallbackFault.LATE,
        CallbackFault.WRONG_TASK,
        CallbackFault.INVENTED,
    ):
        receiver = Receiver()
        async with sending(settings(by_file={TENCENT_ID: fault}), receiver) as (sandbox, caller):
            task_id = (await caller.ask(TENCENT)).data["TaskId"]
            await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        (fields,) = receiver.fields
        seen[fault] = (
            rightly_signed(fields),
            abs(fields["timestamp"] - time.time()) < 600,
            fields["task_id"] == task_id,
            caller.url in fields["snapshot_pic_list"],
        )
    assert seen == {
        CallbackFault.FORGED: (False, True, True, True),
        CallbackFault.LATE: (True, False, True, True),
        CallbackFault.WRONG_TASK: (True, True, False, True),
        CallbackFault.INVENTED: (True, True, True, False),
    }


async def test_shares_of_callbacks_are_faulty() -> None:
    """The numbers match the shares on average."""
    receiver = Receiver()
    async with sending(settings(shares={"lost": 0.25, "forged": 0.25}), receiver) as (sandbox, caller):
        for _ in range(100):
            await caller.ask(HUAWEI)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 100)
    assert sum(sent.fault is CallbackFault.LOST for sent in sandbox.callbacks) == pytest.approx(25, abs=15)
    wrong = sum(not rightly_signed(one) for one in receiver.fields)
    assert wrong == sum(sent.fault is CallbackFault.FORGED for sent in sandbox.callbacks)
    assert wrong == pytest.approx(25, abs=15)


async def test_lost_submission_is_called_back_with_its_file() -> None:
    """The sender can learn that it was accepted, and its task id."""
    receiver = Receiver()
    async with sending(SandboxSettings(script={1: Fault.parse("drop-after")}), receiver) as (
        sandbox,
        caller,
    ):
        with pytest.raises(NoAnswerError):
            await caller.ask(TENCENT)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
    (fields,) = receiver.fields
    assert {fields["task_id"]: fields["field_id"]} == {next(iter(sandbox.accepted())): TENCENT_ID}


async def test_record_and_compose_are_sent_on_request() -> None:
    """For both vendors, for listed and other recordings, and from another terminal."""
    receiver = Receiver()
    async with sending(SandboxSettings(recordings=RecordingSettings(count=10)), receiver) as (
        sandbox,
        caller,
    ):
        listed = sandbox.recordings.at(4)
        sandbox.send_record("Tencent", listed.file_id)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        asked = await caller.control("POST", f"callback?event=record&vendor=Huawei&file_id={KEY}")
        assert asked.status == 200
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 2)
        sandbox.send_compose(TENCENT_ID, code="7", message="no room")
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 3)
        await caller.control("POST", f"callback?event=compose&vendor=Huawei&file_id={KEY}")
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 4)
        lines = (await caller.control("GET", "callbacks")).text.splitlines()
        sandbox.send_record("Ws", KEY)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 5)
        await caller.control("POST", f"callback?event=procedure&vendor=Tencent&file_id={TENCENT_ID}")
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 6)
    tencent, huawei, composed, of_huawei, of_ws, transcoded = receiver.fields
    assert set(json.loads(of_ws["extra_params"])) == {"Duration", "PersistentId", "FileSize"}
    assert (transcoded["event"], transcoded["fileId"]) == ("procedure", TENCENT_ID)
    assert tencent["stream_alias"] == listed.stream_id
    extra, of_obs = json.loads(tencent["extra_params"]), json.loads(huawei["extra_params"])
    assert extra["FileID"] == listed.file_id
    assert extra["Duration"] == round(listed.duration_s)
    assert set(extra) == {"TaskId", "FileID", "Duration"}
    assert set(of_obs) == {"Duration", "ObsObject", "FileSize"}
    assert of_obs["ObsObject"] == KEY
    assert {"replay_url", "begin_time", "end_time"} <= set(huawei)
    assert (composed["event"], composed["code"], composed["message"]) == ("compose", "7", "no room")
    assert composed["file_id"] == TENCENT_ID
    assert {"file_id", "code", "message"} & set(of_huawei) == set()  # Tencent's alone has them
    assert all(map(rightly_signed, receiver.fields))
    assert [json.loads(line)["event"] for line in lines] == ["record", "record", "compose", "compose"]


@pytest.mark.parametrize(
    "query", ["event=snapshot&vendor=Tencent&file_id=1", "event=record&vendor=Ws&file_id=1", "event=record"]
)
async def test_invalid_callback_request_is_refused(query: str) -> None:
    """The message has a hint; a missing callback address is reported."""
    async with calling(Sandbox()) as caller:
        answer = await caller.control("POST", f"callback?{query}")
        assert (answer.status, "give event=record" in answer.text) == (400, True)
        nowhere = await caller.control("POST", f"callback?event=record&vendor=Huawei&file_id={KEY}")
        assert (nowhere.status, "callback_url" in nowhere.text) == (409, True)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",
        "https://example.org/callbacks",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "",
        "http://[::1",
    ],
)
def test_only_this_machine_is_called(url: str) -> None:
    """Any other address is refused, in the settings and later."""
    with pytest.raises(ValueError, match="of this machine"):
        CallbackSettings(url=url)
    with pytest.raises(ValueError, match="of this machine"):
        Sandbox().callback_url = url


def test_settings_repr_has_no_callback_secret() -> None:
    """The text of settings does not contain it."""
    assert "hush-hush" not in repr(SandboxSettings(callbacks=CallbackSettings(secret="hush-hush")))


async def test_hanging_receiver_delays_no_other_callback() -> None:
    """Other tasks are called back meanwhile, and the sandbox stops immediately."""
    hanging = Hanging()
    async with sending(SandboxSettings(), hanging) as (sandbox, caller):
        await caller.ask(TENCENT)
        await hanging.reached.wait()
        await caller.ask(HUAWEI)
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        before_s = time.monotonic()
    assert time.monotonic() - before_s < 20
    assert [sent.file_id for sent in sandbox.callbacks] == [KEY]
