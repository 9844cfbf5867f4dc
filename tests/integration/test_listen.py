"""``batcher listen``: what is signed is on disk before it is answered, and counts once a poll confirms it."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from support.callbacks import (
    SECRET,
    SECRET_GIVEN,
    Json,
    Listener,
    callbacks,
    listening,
    post,
    record,
    sealed,
    snapshot,
)
from support.calling import Caller
from support.certificates import certificate, needs_openssl
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, until
from support.ledger_sql import query
from support.referee import referee

from batcher.callbacks.acceptance import Acceptance
from batcher.callbacks.http_server import BOUNDS, ConnectionBounds, serve
from batcher.callbacks.receiver import Receiver
from batcher.ledger.callbacks import CallbackLedger
from batcher.sandbox import (
    ActionFaults,
    CallbackBody,
    CallbackFault,
    Fault,
    TaskSettings,
)
from batcher.track.tracker import NO_SUCH_TASK

Manifest = Callable[..., Path]
FINISHED = "SELECT count(*) FROM tasks WHERE state = 'finished' AND pictures > 0"


# -- tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", CallbackBody)
async def test_tasks_are_finished_by_callbacks_and_confirmed(
    cli: Cli, manifest: Manifest, body: CallbackBody
) -> None:
    """During a run, for every form of body, each task is finished with the pictures of its poll."""
    ids = tencent_ids(5)
    async with serving(cli, callbacks(body=body)) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        assert (await cli.run(manifest(ids), *PICTURES)).code == 0
        await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(5,)])
        await referee(cli, sandbox)
    assert [sent.status for sent in sandbox.callbacks] == [200] * 5
    assert len(sandbox.requests_of("DescribeMediaTask")) == 5
    assert listener.events.count("callback_taken") == 5


async def test_without_an_account_nothing_is_confirmed(cli: Cli, manifest: Manifest) -> None:
    """A claim stays a claim: the tasks are due immediately for another process."""
    ids = tencent_ids(3)
    async with serving(cli, callbacks()) as sandbox:
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        async with listening(cli, env=left_out) as listener:
            sandbox.callback_url = listener.url
            assert (await cli.run(manifest(ids), *PICTURES)).code == 0
            claimed = (
                "SELECT count(*) FROM tasks "
                "WHERE claimed_at_ms IS NOT NULL AND due_at_ms IS NOT NULL AND state = 'waiting'"
            )
            await until(lambda: query(cli.folder / "batcher.db", claimed) == [(3,)])
        assert sandbox.requests_of("DescribeMediaTask") == []


async def test_lost_answer_is_settled_by_its_callback(cli: Cli, manifest: Manifest) -> None:
    """The submission was accepted and its answer lost: it is submitted under its task id, and sent once."""
    [lost, plain] = tencent_ids(2)
    settings = callbacks(
        by_file={plain: CallbackFault.LOST},
        script={1: Fault.parse("drop-after")},
        tasks=TaskSettings(time_s=3600),
    )
    async with serving(cli, settings) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        done = await cli.run(manifest([lost, plain]), *PICTURES, "--in-doubt", "hold", "--concurrency", "1")
        assert done.code == 1
        assert [row["status"] for row in await cli.export()] == ["in_doubt", "submitted"]
        sandbox.advance(3600)
        await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(1,)])
        rows = await referee(cli, sandbox)
        [entry] = [entry for entry in sandbox.log if entry.file_id == lost and entry.task_id]
        assert [(row["status"], row["task_id"]) for row in rows if row["file_id"] == lost] == [
            ("submitted", entry.task_id)
        ]
        done = await cli("run", *FAST)
        assert done.code == 0
        assert len([entry for entry in sandbox.log if entry.file_id == lost]) == 1
    assert "claim_checked" in listener.events


async def test_forged_late_and_invented_callbacks_change_nothing(cli: Cli, manifest: Manifest) -> None:
    """Each bad callback is refused or without effect, and the good ones count once."""
    faults = dict(
        zip(
            tencent_ids(7),
            (
                CallbackFault.FORGED,
                CallbackFault.LATE,
                CallbackFault.WRONG_TASK,
                CallbackFault.INVENTED,
                CallbackFault.REPLAYED,
                CallbackFault.DOUBLED,
                CallbackFault.LOST,
            ),
            strict=True,
        )
    )
    async with serving(cli, callbacks(by_file=faults)) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        assert (await cli.run(manifest(faults), *PICTURES)).code == 0
        twice = CallbackFault.REPLAYED, CallbackFault.DOUBLED
        sent = Counter(dict.fromkeys(faults.values(), 1) | dict.fromkeys(twice, 2))
        await until(lambda: sent <= Counter(one.fault for one in sandbox.callbacks))
        await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(3,)])
        invented = {picture for (picture,) in query(cli.folder / "batcher.db", "SELECT url FROM pictures")}
        assert all(url.startswith("http://127.0.0.1:") and "/_pictures/" in url for url in invented)
        answers = {
            fault: {one.status for one in sandbox.callbacks if one.fault is fault}
            for fault in faults.values()
        }
    assert answers == {
        CallbackFault.FORGED: {401},
        CallbackFault.LATE: {401},
        CallbackFault.WRONG_TASK: {200},
        CallbackFault.INVENTED: {200},
        CallbackFault.REPLAYED: {200},
        CallbackFault.DOUBLED: {200},
        CallbackFault.LOST: {None},
    }
    taken = [one for one in listener.said if one["event"] == "callback_taken"]
    assert sum(bool(one["again"]) for one in taken) == 1


async def test_failed_polls_are_repeated(cli: Cli, manifest: Manifest) -> None:
    """A service that is busy, breaks off or says nothing readable confirms later."""
    script = {1: Fault.parse("http:503"), 2: Fault.parse("drop-after"), 3: Fault.parse("code:6")}
    settings = callbacks(faults={"DescribeMediaTask": ActionFaults(script=script)})
    async with serving(cli, settings) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        assert (await cli.run(manifest(tencent_ids(1)), *PICTURES)).code == 0
        await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(1,)])
    asked = [one.asked_task_id for one in sandbox.requests_of("DescribeMediaTask")]
    assert len(asked) - asked.count(NO_SUCH_TASK) == 4  # a probe finds out whether every poll is refused


# -- what is answered ----------------------------------------------------------------------------------


@pytest.fixture
async def listener(cli: Cli) -> AsyncIterator[Listener]:
    """A listener on an empty ledger."""
    async with serving(cli), listening(cli, "--max-body", "2KiB") as one:
        yield one


async def test_answered_callback_is_on_disk(cli: Cli, listener: Listener) -> None:
    """Another program can read it as soon as the answer arrives."""
    assert await post(listener.url, sealed(snapshot())) == (200, "ok\n")
    kept = query(cli.folder / "batcher.db", "SELECT event, task_id FROM callbacks")
    assert kept == [("snapshot", "t-1")]


async def test_refusal_has_a_status_and_no_reason(listener: Listener) -> None:
    """Each kind of refusal has its status; the sender gets nothing else."""
    good = sealed(snapshot("t-2"))
    text = json.dumps(good)
    packed = {"Content-Encoding": "gzip"}
    bodies: dict[int, list[Json | bytes]] = {
        400: [b"", b"[]", b"no callback", b"{}"],
        401: [
            sealed(snapshot(), secret="guessed"),
            sealed(snapshot(), at=time.time() - 601),
            sealed(snapshot(), at=time.time() + 660),
            sealed(snapshot(appid="99")),
        ],
        413: [b" " * 3000],
        200: [good, quote(text).encode(), urlencode(good).encode()],
        409: [{**good, "task_id": "t-3"}],
    }
    for status, all_of in bodies.items():
        for body in all_of:
            assert await post(listener.url, body) == (status, "ok\n" if status == 200 else "refused\n")
    assert (await post(listener.url, text.encode(), headers=packed))[0] == 415
    async with aiohttp.ClientSession() as session:
        async with session.get(listener.url) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" " * 1000

        async with session.post(listener.url, data=endless()) as answer:
            assert answer.status == 413
        async with session.get(listener.url + "healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")


@pytest.mark.parametrize("body", CallbackBody)
async def test_callback_of_a_long_recording_is_accepted(cli: Cli, body: CallbackBody) -> None:
    """One picture every 10 s of four hours fits into the default limit of a body."""
    folder = "http://1500030200.vod2.myqcloud.example/a1b2c3d4vodtranscq1500030200/5285890700070558772"
    pictures = [
        {"url": f"{folder}/sampleSnapshot/sampleSnapshot_10_{n}.jpg", "offset": n * 10_000}
        for n in range(1_440)
    ]
    fields = sealed(snapshot("t-long", snapshot_pic_list=json.dumps(pictures)))
    sent = {
        CallbackBody.JSON: json.dumps(fields).encode(),
        CallbackBody.URLENCODED: quote(json.dumps(fields)).encode(),
        CallbackBody.FORM: urlencode(fields).encode(),
    }
    async with serving(cli), listening(cli) as listener:
        assert await post(listener.url, sent[body]) == (200, "ok\n")


@pytest.mark.about_files
async def test_ledger_fault_is_answered_with_503(cli: Cli, listener: Listener) -> None:
    """The service sends the callback again; success is not answered."""
    (cli.folder / "batcher.db").rename(cli.folder / "elsewhere.db")
    status, text = await post(listener.url, sealed(snapshot()))
    assert (status, text) == (503, "refused\n")
    (cli.folder / "elsewhere.db").rename(cli.folder / "batcher.db")
    assert (await post(listener.url, sealed(snapshot())))[0] == 200


async def test_path_option_refuses_other_paths(cli: Cli) -> None:
    """With --path requests for other paths get 404."""
    async with serving(cli), listening(cli, "--path", "/zego/snap") as listener:
        assert listener.url.endswith("/zego/snap")
        assert (await post(listener.url, sealed(snapshot())))[0] == 200
        assert (await post(listener.url + "/x", sealed(snapshot())))[0] == 404


async def test_refusals_are_summed_up_in_warnings(cli: Cli) -> None:
    """A wrong secret causes a warning immediately, and not one for every callback."""
    async with serving(cli), listening(cli) as listener:
        for _ in range(5):
            await post(listener.url, sealed(snapshot(), secret="guessed"))
    warned = [one["text"] for one in listener.said if one.get("level") == "warning" and "text" in one]
    assert warned == [
        "1 request refused: 1 × its signature is wrong",
        "4 requests refused: 4 × its signature is wrong",
    ]


async def test_single_callbacks_are_shown_with_v_only(cli: Cli) -> None:
    """On a terminal it is quiet; with -v there is a line for each."""
    for options, shown in ((), False), (("-v",), True):
        async with serving(cli):
            process = await cli.start("listen", "--port", "0", *options, env=SECRET_GIVEN)
            assert process.stderr is not None
            url = (await process.stderr.readline()).decode().split()[3]
            await post(url, sealed(snapshot()))
            process.send_signal(signal.SIGTERM)
            done = await cli.finish(process)
        assert done.code == 143
        assert ("snapshot, task t-1: open" in done.stderr) == shown


@asynccontextmanager
async def in_process(cli: Cli, bounds: ConnectionBounds = BOUNDS) -> AsyncIterator[str]:
    """A receiver within this process, whose bounds a test can change; its URL."""
    async with (
        serving(cli),
        await CallbackLedger.open(cli.folder / "batcher.db") as ledger,
        serve(Receiver(ledger, Acceptance(SECRET)), "127.0.0.1", 0, bounds=bounds) as url,
    ):
        yield url


def port_of(url: str) -> int:
    """The port of a URL without a path."""
    return int(url.rsplit(":", 1)[1].strip("/"))


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Whether a connection ends without an answer of success."""
    async with asyncio.timeout(5):
        try:
            return b" 200 " not in await reader.read()
        except ConnectionResetError:
            return True


async def test_silent_connection_makes_room(cli: Cli) -> None:
    """With all connections in use, the one that has been silent for the longest time ends."""
    async with in_process(cli, ConnectionBounds(most=3)) as url:
        silent = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(3)]
        for _, writer in silent:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n")
        assert (await post(url, sealed(snapshot())))[0] == 200
        assert await has_ended(silent[0][0])
        assert not silent[1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_slow_request_ends_with_its_connection(cli: Cli) -> None:
    """A request whose head or body does not arrive in time ends with its connection."""
    async with in_process(cli, ConnectionBounds(request_s=0.2)) as url:
        for begun in (b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            writer.write(begun)
            assert await has_ended(reader)
            writer.close()


# -- new recordings ------------------------------------------------------------------------------------


async def test_new_recording_is_submitted_by_the_next_run(cli: Cli) -> None:
    """Its callback makes it a submission with the given parameters, which the next run sends once."""
    [new, merged, broken] = tencent_ids(3)
    async with serving(cli, callbacks(), ledger_made=False) as sandbox:
        async with listening(cli, "--submit-new", "--definition", "10", "--offset", "1") as listener:
            sandbox.callback_url = listener.url
            sandbox.send_record("Tencent", new)
            sandbox.send_compose(merged)
            sandbox.send_compose(broken, code="7")
            await sandbox.wait_for(lambda: len(sandbox.callbacks) >= 3, 20)
            for file_id in (new, "1.39776E+18"):
                assert (await post(listener.url, sealed(record(file_id))))[0] == 200
            huawei = {"event": "record", "extra_params": {"ObsObject": "/record/a.mp4"}}
            assert (await post(listener.url, sealed(huawei)))[0] == 200
        done = await cli("run", *FAST)
        assert done.code == 1, done.stderr
        rows = await referee(cli, sandbox)
    assert sorted(row["file_id"] for row in rows) == sorted([new, merged])
    assert {(row["status"], row["definition"], row["offsets"], row["source"]) for row in rows} == {
        ("submitted", "10", "1", "callbacks")
    }
    reasons = query(cli.folder / "batcher.db", 'SELECT "column", reason FROM invalid_rows ORDER BY id')
    assert reasons[0][0] == "file_id"
    assert "lost its digits" in str(reasons[0][1])
    assert reasons[1] == ("interval", "is missing; fill it in or give --interval")
    effects = [one["effect"] for one in listener.said if one["event"] == "callback_taken"]
    assert sorted(effects) == ["added", "added", "known", "noted", "unusable", "unusable"]


async def test_recording_without_submit_new_is_recorded_only(cli: Cli, listener: Listener) -> None:
    """The callback is recorded, and nothing is sent for it."""
    assert (await post(listener.url, sealed(record("1397757897438985123"))))[0] == 200
    assert query(cli.folder / "batcher.db", "SELECT effect FROM callbacks") == [("noted",)]
    assert query(cli.folder / "batcher.db", "SELECT count(*) FROM submissions") == [(0,)]


# -- TLS, signals, settings ----------------------------------------------------------------------------


@needs_openssl
async def test_tls_certificate_is_read_again_on_sighup(cli: Cli, tmp_path: Path) -> None:
    """A renewed certificate is used without an interruption."""
    made, key = certificate(tmp_path, "localhost", 30)
    renewed = tmp_path / "renewed"
    renewed.mkdir()
    new, new_key = certificate(renewed, "localhost", 60)

    async def shown_at(url: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(made))
        assert await post(url.replace("127.0.0.1", "localhost"), sealed(snapshot()), ssl=context) == (
            200,
            "ok\n",
        )
        return context

    async with serving(cli), listening(cli, "--cert", made, "--key", key) as listener:
        assert listener.url.startswith("https://")
        await shown_at(listener.url)
        shutil.copy(new, made)
        shutil.copy(new_key, key)
        listener.process.send_signal(signal.SIGHUP)
        assert listener.process.stderr is not None
        while line := json.loads(await listener.process.stderr.readline()):
            if "reloaded" in line.get("text", ""):
                break
        await shown_at(listener.url)


async def test_signal_ends_the_listener_in_order(cli: Cli) -> None:
    """Silent connections do not delay the end, the totals are reported, and each signal has its exit code."""
    async with serving(cli):
        process = await cli.start("listen", "--port", "0", env=SECRET_GIVEN)
        assert process.stderr is not None
        port = int((await process.stderr.readline()).decode().split()[3].rsplit(":", 1)[1].strip("/"))
        with closing(socket.create_connection(("127.0.0.1", port))) as silent:
            silent.send(b"POST / HTTP/1.1\r\n")
            with closing(socket.create_connection(("127.0.0.1", port))) as unsigned:
                unsigned.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
                assert b" 400 " in await asyncio.to_thread(unsigned.recv, 100)
            process.send_signal(signal.SIGINT)
            done = await cli.finish(process)
    assert done.code == 130
    assert done.stderr.splitlines()[-1] == "Stopped by SIGINT: 0 callbacks taken, 1 request refused."


BAD_SETTINGS = [
    ((), {}, 2, "BATCHER_CALLBACK_SECRET: the secret of callbacks is missing"),
    ((), {"BATCHER_CALLBACK_SECRET": "two words"}, 2, "letters and digits, without blanks"),
    (
        (),
        {"BATCHER_CALLBACK_SECRET_FILE": "nowhere"},
        2,
        "/nowhere: there is no such file",
    ),
    (("--host", "no.such.host.invalid"), SECRET_GIVEN, 2, "--host no.such.host.invalid: this machine has no"),
    (("--port", "70000"), SECRET_GIVEN, 2, "--port 70000: give 65,535 at most"),
    (("--max-body", "2MiB"), SECRET_GIVEN, 2, "--max-body 2097152: give 1,048,576 at most"),
    (("--path", "zego"), SECRET_GIVEN, 2, "--path zego: give the path of a URL, beginning with /"),
    (("--cert", "nowhere.pem"), SECRET_GIVEN, 2, "/nowhere.pem: there is no such file"),
    (("--key", "nowhere.pem"), SECRET_GIVEN, 2, "--key: a key needs its certificate"),
    (("--submit-new",), SECRET_GIVEN, 2, "--submit-new: what is asked of a new recording is not known"),
    (("--ledger", "nowhere.db"), SECRET_GIVEN, 6, "nowhere.db: there is no ledger here"),
    (
        (),
        {**SECRET_GIVEN, "BATCHER_SERVER_SECRET": ""},
        2,
        "BATCHER_SERVER_SECRET: the ServerSecret is missing",
    ),
]


@pytest.mark.parametrize(("args", "env", "code", "said"), BAD_SETTINGS, ids=lambda one: str(one)[:40])
async def test_wrong_settings_are_reported_before_listening(
    cli: Cli, args: tuple[str, ...], env: dict[str, str], code: int, said: str
) -> None:
    """One message that names the setting, and the exit code."""
    async with serving(cli):
        done = await cli("listen", "--port", "0", *args, env=env)
    assert done.code == code, done.stderr
    assert said in done.stderr


async def test_port_in_use_is_reported(cli: Cli) -> None:
    """Another program listens there already."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        async with serving(cli):
            done = await cli("listen", "--port", port, env=SECRET_GIVEN)
    assert done.code == 2
    assert f"--port {port}: 127.0.0.1 cannot be listened on: Address already in use" in done.stderr


async def test_secret_is_read_from_a_file_or_a_command(cli: Cli) -> None:
    """It is never accepted from a flag or the configuration file."""
    (cli.folder / "callback-secret").write_text(SECRET + "\n")
    for env in (
        {"BATCHER_CALLBACK_SECRET_FILE": "callback-secret"},
        {"BATCHER_CALLBACK_SECRET_COMMAND": "cat callback-secret"},
    ):
        async with serving(cli):
            process = await cli.start("listen", "--port", "0", env=env)
            assert process.stderr is not None
            url = (await process.stderr.readline()).decode().split()[3]
            assert (await post(url, sealed(snapshot())))[0] == 200
            process.send_signal(signal.SIGTERM)
            assert (await cli.finish(process)).code == 143
    (cli.folder / "batcher.toml").write_text(f'callback_secret = "{SECRET}"\n')
    async with serving(cli):
        done = await cli("listen", "--port", "0")
    assert done.code == 2
    assert "the secret of callbacks is not accepted in this file; set BATCHER_CALLBACK_SECRET" in done.stderr
    assert SECRET not in done.stderr


async def test_listening_on_other_addresses_without_tls_warns(cli: Cli) -> None:
    """Bound elsewhere without TLS it says what that means."""
    async with serving(cli), listening(cli, "--host", "0.0.0.0") as listener:
        pass
    assert any("other machines can connect without TLS" in str(one.get("text")) for one in listener.said)


async def test_track_confirms_doubts_of_a_listener_without_an_account(cli: Cli, manifest: Manifest) -> None:
    """``batcher track`` settles the doubt and follows the task to its end."""
    settings = callbacks(script={1: Fault.parse("drop-after")}, tasks=TaskSettings(time_s=3600))
    async with serving(cli, settings) as sandbox:
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        async with listening(cli, env=left_out) as listener:
            sandbox.callback_url = listener.url
            assert (await cli.run(manifest(tencent_ids(1)), *PICTURES, "--in-doubt", "hold")).code == 1
            sandbox.advance(3600)
            checked = "SELECT effect FROM callbacks"
            await until(lambda: query(cli.folder / "batcher.db", checked) == [("checked",)])
        done = await cli("track", "--progress", "none")
        assert done.code == 0, done.stderr
        assert query(cli.folder / "batcher.db", FINISHED) == [(1,)]
        assert [row["status"] for row in await referee(cli, sandbox)] == ["submitted"]


async def test_killed_listener_loses_no_answered_callback(cli: Cli, manifest: Manifest) -> None:
    """A claim recorded before the kill is confirmed by the next listener, without another callback."""
    ids = tencent_ids(3)
    async with serving(cli, callbacks()) as sandbox:
        left_out = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")
        process = await cli.start("listen", "--port", "0", env={**SECRET_GIVEN, **left_out})
        assert process.stderr is not None
        sandbox.callback_url = (await process.stderr.readline()).decode().split()[3]
        assert (await cli.run(manifest(ids), *PICTURES)).code == 0
        await sandbox.wait_for(lambda: [one.status for one in sandbox.callbacks] == [200] * 3, 20)
        process.kill()
        await process.wait()
        sandbox.callback_url = None
        async with listening(cli) as listener:
            await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(3,)])
        assert "callback_taken" not in listener.events


async def test_huawei_callback_that_names_only_the_task_is_matched(cli: Cli) -> None:
    """Its recording is found by the tasks of all that was submitted."""
    rows = [f"/record/a/{n}.mp4" for n in range(3)]
    (cli.folder / "huawei.csv").write_text("\n".join(["file_id", *rows, ""]))
    async with serving(cli, callbacks()) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        assert (await cli.run("huawei.csv", "--vendor", "Huawei", "--interval", "5")).code == 0
        await until(lambda: query(cli.folder / "batcher.db", FINISHED) == [(3,)])
        assert len(sandbox.callbacks) == 3
        assert {json.loads(one.body).get("field_id") for one in sandbox.callbacks} == {None}


# -- what others send ----------------------------------------------------------------------------------

MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


async def sent_raw(url: str, *parts: bytes) -> bytes:
    """Send bytes over a connection of their own, part by part; return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(90):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def test_bytes_that_are_not_http_are_summed_up_in_warnings(cli: Cli) -> None:
    """A port scanner causes one line immediately and one at the end."""
    async with serving(cli), listening(cli, "-v") as listener:
        for bad in MALFORMED * 5:
            assert b" 200 " not in await sent_raw(listener.url, bad)
        assert (await post(listener.url, sealed(snapshot())))[0] == 200
    warned = [one for one in listener.said if one.get("level") in ("warning", "error")]
    assert [one["text"] for one in warned] == [
        "1 request refused: 1 × it is not HTTP",
        "39 requests refused: 39 × it is not HTTP",
    ]
    assert [one for one in listener.said if one.get("logger", "").startswith("aiohttp")] == []


async def test_body_that_is_not_http_is_refused(cli: Cli) -> None:
    """The head was good; the body breaks off its own encoding."""
    async with in_process(cli) as url:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        assert b" 400 " in await sent_raw(url, head, b"zz\r\n")


async def test_defect_while_answering_is_logged_once_a_minute(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that provokes it repeatedly does not fill the log."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Receiver, "_answer", broken)
    async with in_process(cli) as url:
        assert [(await post(url, sealed(snapshot())))[0] for _ in range(5)] == [500] * 5
    assert [one.message for one in caplog.records if one.name == "aiohttp.server"] == [
        "Error handling request from 127.0.0.1"
    ]


# -- whose task it is ----------------------------------------------------------------------------------


async def test_task_of_another_recording_settles_no_doubt(cli: Cli, manifest: Manifest) -> None:
    """The service's answer decides which recording a task belongs to, not the callback."""
    [lost, other, foreign] = tencent_ids(3)
    silent = dict.fromkeys((lost, other, foreign), CallbackFault.LOST)
    settings = callbacks(by_file=silent, script={1: Fault.parse("drop-after")})
    async with serving(cli, settings) as sandbox, listening(cli) as listener:
        sandbox.callback_url = listener.url
        done = await cli.run(manifest([lost, other]), *PICTURES, "--in-doubt", "hold", "--concurrency", "1")
        assert done.code == 1
        async with aiohttp.ClientSession() as session:
            asked = (
                f"Action=MediaThumbnails&Vendor=Tencent&FileId={foreign}&Type=SampleSnapshot&Definition=10"
            )
            await Caller(sandbox.url, session).ask(asked)
        tasks = {entry.file_id: entry.task_id for entry in sandbox.log if entry.task_id}
        for named in (other, foreign):
            callback = snapshot(str(tasks[named]), field_id=lost)
            assert (await post(listener.url, sealed(callback)))[0] == 200
        effects = "SELECT effect FROM callbacks ORDER BY id"
        await until(lambda: query(cli.folder / "batcher.db", effects) == [("claimed",), ("denied",)])
        rows = await cli.export()
        assert [(row["file_id"], row["status"]) for row in rows] == [
            (lost, "in_doubt"),
            (other, "submitted"),
        ]
        assert (await post(listener.url, sealed(snapshot(str(tasks[lost]), field_id=lost))))[0] == 200
        await until(lambda: query(cli.folder / "batcher.db", effects)[2:] == [("settled",)])
        given = {row["file_id"]: row["task_id"] for row in await cli.export()}
        assert given == {lost: tasks[lost], other: tasks[other]}


async def test_callback_of_a_foreign_task_changes_no_submission(cli: Cli, manifest: Manifest) -> None:
    """It names a task of another program, and no recording: no submission gets a task by that."""
    async with serving(cli) as sandbox:
        assert (await cli.run(manifest(tencent_ids(50)), *PICTURES)).code == 0
        async with listening(cli) as listener:
            assert (await post(listener.url, sealed(snapshot("of another program"))))[0] == 200
            checked_twice = "SELECT count(*) FROM callbacks WHERE tries >= 2"
            await until(lambda: query(cli.folder / "batcher.db", checked_twice) == [(1,)])
        assert query(cli.folder / "batcher.db", "SELECT count(*) FROM tasks") == [(0,)]
        assert sandbox.requests_of("DescribeMediaTask") == []


async def test_merged_file_without_a_code_is_a_new_recording(cli: Cli) -> None:
    """The code matters for Tencent's failures only; a callback without one is taken."""
    [merged] = tencent_ids(1)
    options = ("--submit-new", "--definition", "10", "--offset", "1")
    async with serving(cli, ledger_made=False), listening(cli, *options) as listener:
        without_file_id = {"event": "compose", "task_id": "c-1"}
        assert (await post(listener.url, sealed(without_file_id)))[0] == 200
        assert (await post(listener.url, sealed({**without_file_id, "file_id": merged})))[0] == 200
    assert query(cli.folder / "batcher.db", "SELECT file_id FROM submissions") == [(merged,)]
