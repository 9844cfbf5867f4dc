"""Requests byte for byte, and the reading of answers, through the command line."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web
from support.cli import FAST, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_sql import query
from support.referee import referee

from batcher.sandbox import AnswerShape, SandboxSettings

# The two requests of the service documentation, "Start a snapshot task", letter for letter.
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
EXAMPLE_TASK = "1500030200-procedurev2-afc1fe7dfe51cd88a5d588cacba53393tt0"
PUBLIC = {"AppId", "SignatureNonce", "Timestamp", "Signature", "SignatureVersion"}

HUAWEI = "/record/pickrecord/command_record/clarechen_test/2024-11-13-06-10-48.mp4"
TENCENT = "1397757897438985100"


def own_parameters(example: str) -> list[tuple[str, str]]:
    """The parameters of an example, without the public ones."""
    query_text = urlsplit(example.replace("\n", "").removesuffix("&<公共请求参数>")).query
    return sorted(parse_qsl(query_text))


@pytest.mark.parametrize("is_test", [None, "true", "false"])
async def test_documented_requests_go_out_letter_for_letter(
    cli: Cli, tmp_path: Path, is_test: str | None
) -> None:
    """Both examples leave with exactly their parameters and the public ones, each once."""
    rows = [
        [HUAWEI, "Huawei", "SampleSnapshot", "", "2", ""],
        [TENCENT, "Tencent", "SnapshotByTimeOffset", "10", "", "1;2"],
    ]
    header = ["file_id", "vendor", "type", "definition", "interval", "offsets"]
    archive = write_manifest(tmp_path / "archive.csv", rows, header)
    cli.env |= {} if is_test is None else {"BATCHER_IS_TEST": is_test}
    async with serving(cli, SandboxSettings(rate_per_s=None, is_test=is_test == "true")) as sandbox:
        done = await cli.run(archive)
        seen = {
            entry.vendor: parse_qsl(urlsplit(entry.target).query, keep_blank_values=True)
            for entry in sandbox.log
        }
        paths = {urlsplit(entry.target).path for entry in sandbox.log}
        if is_test != "false":
            assert done.code == 0, done.stderr
            await referee(cli, sandbox)
    if is_test == "false":  # the sandbox refuses it; what went out is all that matters here
        assert set(seen) <= {"Huawei", "Tencent"}
    expected = {"Huawei": own_parameters(EXAMPLE_HUAWEI), "Tencent": own_parameters(EXAMPLE_TENCENT)}
    assert paths == {"/"}
    for vendor, parameters in seen.items():
        public = {name: value for name, value in parameters if name in PUBLIC | {"IsTest"}}
        assert sorted(pair for pair in parameters if pair[0] not in public) == expected[vendor]
        assert set(public) == PUBLIC | ({"IsTest"} if is_test else set())
        assert len(parameters) == len(expected[vendor]) + len(public)
        assert re.fullmatch("[0-9a-f]{16}", public["SignatureNonce"])
        assert public["SignatureVersion"] == "2.0"
        assert public.get("IsTest") == is_test


async def test_parameters_without_effect_are_not_sent(cli: Cli, tmp_path: Path) -> None:
    """A definition means nothing to Huawei, an interval nothing to Tencent, offsets nothing to samples."""
    rows = [
        ["/record/a.mp4", "Huawei", "SampleSnapshot", "10", "2", "1;2"],
        [TENCENT, "Tencent", "SampleSnapshot", "10", "5", "1;2"],
    ]
    header = ["file_id", "vendor", "type", "definition", "interval", "offsets"]
    async with serving(cli) as sandbox:
        done = await cli.run(write_manifest(tmp_path / "archive.csv", rows, header))
        assert done.code == 0, done.stderr
        await referee(cli, sandbox)
    asked = {entry.vendor: (entry.definition, entry.interval, entry.offsets) for entry in sandbox.log}
    assert asked == {"Huawei": (None, "2", ()), "Tencent": ("10", None, ())}


PATHS = [
    "/record/lessons/room 4712/2024-11-13-06-52-26.mp4",
    "/record/数学一班/2024-11-13-07-28-57.mp4",
    "/record/q+a/one.mp4",
    "/record/piano & violin/two.mp4",
    "/record/take #2/three.mp4",
    "/record/100% done/four%20.mp4",
    "/record/a=b?c/five.mp4",
    "record/no slash first/'six'.mp4",
    "/record/[seven]/~;,:@!$()*.mp4",
]


async def test_paths_arrive_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """Blanks, Chinese and the characters of a query string reach the service unchanged."""
    archive = write_manifest(tmp_path / "archive.csv", ([path] for path in PATHS), ["ObsObject"])
    async with serving(cli) as sandbox:
        done = await cli.run(archive, "--vendor", "Huawei", "--interval", "2", "--trust-ids")
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert sorted(entry.file_id for entry in sandbox.log) == sorted(PATHS)
    assert [row["file_id"] for row in rows] == PATHS


@pytest.mark.parametrize("shape", list(AnswerShape))
async def test_answers_of_both_shapes_are_read(cli: Cli, tmp_path: Path, shape: AnswerShape) -> None:
    """The vendor's part may be an object or a list, for both vendors."""
    rows = [["/record/a.mp4", "Huawei"], [tencent_ids(1)[0], "Tencent"]]
    archive = write_manifest(tmp_path / "archive.csv", rows, ["file_id", "vendor"])
    answers = SandboxSettings(rate_per_s=None, answer_shape=shape, with_request_id=False)
    async with serving(cli, answers) as sandbox:
        done = await cli.run(archive, "--type", "SampleSnapshot", "--definition", "10", "--interval", "2")
        assert done.code == 0, done.stderr
        exported = await referee(cli, sandbox)
    assert [row["status"] for row in exported] == ["submitted", "submitted"]


@asynccontextmanager
async def answering(cli: Cli, text: str) -> AsyncIterator[list[str]]:
    """A server that gives one text as the answer to everything."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(text=text, content_type="application/json")

    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    cli.use(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
    try:
        yield asked
    finally:
        listener.close()
        await server.shutdown()


def huawei_answer() -> str:
    """The example as Huawei's part would be."""
    value = json.loads(EXAMPLE_ANSWER)
    value["Data"] = {"Huawei": {"task_id": "289665200"}}
    return json.dumps(value)


def as_list(text: str) -> str:
    """The same answer with its vendor's part as a list, and fields that are not documented."""
    value = json.loads(text)
    value["Data"] = {name: [part | {"New": {}}] for name, part in value["Data"].items()} | {"Other": []}
    return json.dumps(value | {"Extra": 1})


@pytest.mark.parametrize(
    ("answer", "row", "task_id", "request_id"),
    [
        (EXAMPLE_ANSWER, [TENCENT, "Tencent"], EXAMPLE_TASK, "474284b3-d722-490a-ba2c-de0b472eab83"),
        (as_list(EXAMPLE_ANSWER), [TENCENT, "Tencent"], EXAMPLE_TASK, "474284b3-d722-490a-ba2c-de0b472eab83"),
        (huawei_answer(), [HUAWEI, "Huawei"], "289665200", None),
        (as_list(huawei_answer()), [HUAWEI, "Huawei"], "289665200", None),
    ],
)
async def test_documented_answer_is_read(
    cli: Cli, tmp_path: Path, answer: str, row: list[str], task_id: str, request_id: str | None
) -> None:
    """The example answer, as an object and as a list, gives its task id and the vendor's RequestId."""
    archive = write_manifest(tmp_path / "archive.csv", [row], ["file_id", "vendor"])
    async with answering(cli, answer) as asked:
        done = await cli.run(archive, "--type", "SampleSnapshot", "--definition", "10", "--interval", "2")
        assert done.code == 0, done.stderr
    [exported] = await cli.export()
    assert (exported["status"], exported["task_id"], exported["code"]) == ("submitted", task_id, 0)
    assert (exported["message"], exported["request_id"]) == ("success", request_id)
    assert len(asked) == 1


class Silent:
    """A server that accepts requests and ends the connection instead of answering.

    Args:
        answered: how many requests of a connection are answered before one is not.
        reset: end with RST instead of FIN.
    """

    def __init__(self, *, answered: int, reset: bool) -> None:
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self._answered = answered
        self._reset = reset

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests of one connection."""
        self.connections += 1
        for n in range(self._answered + 1):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            file_id = dict(parse_qsl(urlsplit(head.split()[1].decode()).query)).get("FileId")
            if file_id is None:  # the harmless call, which asks whether the service is there
                await self._answer(writer, '{"Code":2}')
                break
            self.requests[file_id] += 1
            if n < self._answered:
                await self._answer(writer, f'{{"Code":0,"Data":{{"Tencent":{{"TaskId":"task-{file_id}"}}}}}}')
            elif self._reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
                writer.transport.abort()
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, body: str) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()

    @asynccontextmanager
    async def listening(self, cli: Cli) -> AsyncIterator[None]:
        """Listen for the command line."""
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            cli.use(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            yield


@pytest.mark.about_files  # how often connections are used again at such rates depends on the commits
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("answered", [0, 2])
@pytest.mark.parametrize("rate", ["900", "100000"])
async def test_one_attempt_is_one_request(
    cli: Cli, manifest: Callable[..., Path], rate: str, answered: int, reset: bool
) -> None:
    """A connection that ends unanswered, new or kept alive, by FIN or RST, has seen one request each."""
    server = Silent(answered=answered, reset=reset)
    ids = tencent_ids(6)
    archive = manifest(ids)
    async with server.listening(cli):
        one_by_one = ("--in-doubt", "hold", "--concurrency", "1", "--rate", rate)
        done = await cli("run", archive, *PICTURES, *FAST, *one_by_one)
        assert done.code == 1, done.stderr
        again = await cli.run("--in-doubt", "hold")
        assert again.code == 0, again.stderr
    assert server.requests == dict.fromkeys(ids, 1)
    assert server.connections >= 6 if answered == 0 else server.connections == 2
    rows = await cli.export()
    states = ["submitted"] * answered + ["in_doubt"]
    assert [row["status"] for row in rows] == (states * 6)[:6]
    assert [row["attempts"] for row in rows] == [1] * 6


async def test_under_retry_each_of_five_sends_is_on_record(cli: Cli, manifest: Callable[..., Path]) -> None:
    """A submission that is never answered is sent five times, each an attempt of its own, and is in doubt."""
    server = Silent(answered=0, reset=False)
    ids = tencent_ids(1)
    archive = manifest(ids)
    async with server.listening(cli):
        done = await cli("run", archive, *PICTURES, *FAST)
    assert done.code == 1, done.stderr
    assert server.requests == dict.fromkeys(ids, 5)
    outcomes = query(
        cli.folder / "batcher.db",
        "SELECT outcome, decision, count(*) FROM attempts WHERE outcome <> 'not_sent' GROUP BY 1, 2",
    )
    assert outcomes == [("reply_lost", "in_doubt", 5)]
    assert [(row["status"], row["attempts"]) for row in await cli.export()] == [("in_doubt", 5)]
