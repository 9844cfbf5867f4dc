"""``batcher listen``: every allowed form of callback, and claims that contradict themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from support.callbacks import Json, Listener, callbacks, listening, post, sealed, snapshot
from support.cli import PICTURES, Cli, serving, tencent_ids, until
from support.ledger_sql import query

from batcher.sandbox import Fault, Sandbox, TaskSettings

Manifest = Callable[..., Path]
EFFECTS = "SELECT effect FROM callbacks ORDER BY id"
LOOKED_AT = "SELECT count(*) FROM callbacks WHERE tries > 0 OR effect NOT IN ('open', 'checked')"
OTHER = "1397757897438985124"
NO_ACCOUNT = dict.fromkeys(("BATCHER_APP_ID", "BATCHER_SERVER_SECRET"), "")


def pictures(*urls: str) -> str:
    """The list of a callback, as the text that holds it."""
    return json.dumps([{"url": url, "offset": 1000.0} for url in urls])


async def doubted(cli: Cli, manifest: Manifest, sandbox: Sandbox) -> tuple[str, str]:
    """A submission whose answer is lost; its recording and its task."""
    [file_id] = tencent_ids(1)
    assert (await cli.run(manifest([file_id]), *PICTURES, "--in-doubt", "hold")).code == 1
    [entry] = [entry for entry in sandbox.log if entry.task_id]
    return file_id, str(entry.task_id)


async def claimed(
    cli: Cli, listener: Listener, task_id: str, file_id: str, listed: str
) -> list[tuple[object]]:
    """Send the callback about a task; the effect, once it was looked at."""
    callback = snapshot(task_id, field_id=file_id, snapshot_pic_list=listed)
    assert (await post(listener.url, sealed(callback)))[0] == 200
    await until(lambda: query(cli.folder / "batcher.db", LOOKED_AT) == [(1,)])
    return query(cli.folder / "batcher.db", EFFECTS)


@pytest.mark.parametrize(
    ("path", "effect", "state"),
    [
        ("https://v.example/{file_id}/1.jpg", "settled", "submitted"),
        ("http://abc.com/1.jpg", "settled", "submitted"),
        (f"https://v.example/{OTHER}/1.jpg", "open", "in_doubt"),
    ],
)
async def test_claim_whose_pictures_name_another_recording_settles_nothing(
    cli: Cli, manifest: Manifest, path: str, effect: str, state: str
) -> None:
    """The service is not even asked; a path with this recording, or with none, is left to the poll."""
    async with serving(cli, callbacks(script={1: Fault.parse("drop-after")})) as sandbox:
        file_id, task_id = await doubted(cli, manifest, sandbox)
        async with listening(cli) as listener:
            found = await claimed(cli, listener, task_id, file_id, pictures(path.format(file_id=file_id)))
        assert found == [(effect,)]
        assert [row["status"] for row in await cli.export()] == [state]
        assert bool(sandbox.requests_of("DescribeMediaTask")) is (effect == "settled")


async def test_task_whose_pictures_name_another_recording_settles_nothing(
    cli: Cli, manifest: Manifest
) -> None:
    """The service's answer names this recording and lists pictures of another: the claim is denied."""
    urls = {tencent_ids(1)[0]: (f"https://v.example/{OTHER}/1.jpg",)}
    settings = callbacks(script={1: Fault.parse("drop-after")}, tasks=TaskSettings(urls=urls))
    async with serving(cli, settings) as sandbox:
        file_id, task_id = await doubted(cli, manifest, sandbox)
        async with listening(cli) as listener:
            assert await claimed(cli, listener, task_id, file_id, "[]") == [("denied",)]
        assert [row["status"] for row in await cli.export()] == ["in_doubt"]


# -- the forms of callbacks ----------------------------------------------------------------------------

PROCEDURE: Json = {"event": "procedure", "task_id": "t-9", "status": "SUCCESS", "fileId": OTHER}
OF_WS = {"PersistentId": "p-1", "Duration": "9", "FileSize": 10}

CASES: list[tuple[Json, str]] = [
    (PROCEDURE, "noted"),
    (PROCEDURE | {"task_id": 9, "transcode": {"code": 0}, "extra_params": "[]"}, "noted"),
    ({"event": "record", "stream_alias": "s", "extra_params": json.dumps(OF_WS)}, "noted"),
    ({"event": "record", "extra_params": json.dumps({"FileID": 101, "Duration": "9"})}, "added"),
    ({"event": "record", "extra_params": quote(json.dumps({"FileID": "102"}))}, "added"),
    ({"event": "record", "begin_time": 5, "extra_params": {"FileID": "103", "Duration": 9.5}}, "added"),
    ({"event": "compose", "task_id": 7, "file_id": 104}, "added"),
    ({"event": "compose", "task_id": "7", "file_id": "105", "code": 0}, "added"),
    ({"event": "compose", "task_id": "7", "file_id": "106", "code": 0.0, "message": ""}, "added"),
    ({"event": "compose", "task_id": "7", "file_id": "107", "code": "40000"}, "noted"),
    ({"event": "compose", "task_id": "7", "file_id": "107", "code": 60000}, "noted"),
    ({"event": "compose", "task_id": "7", "file_id": "107", "code": 70000.0}, "noted"),
    ({"event": "compose", "task_id": "7", "replay_url": "https://v.example/1.mp4"}, "noted"),
    (snapshot("7", vendor="hw", snapshot_pic_list=quote(pictures("https://v.example/1.jpg"))), "open"),
    (snapshot(field_id=105) | {"task_id": 8}, "open"),
]
"""Callbacks, and the effect of the first one that arrives."""


def bodies(fields: Json) -> list[bytes]:
    """The same callback in every form, each with a signature of its own."""
    numbers = sealed(fields | {"appid": "12345"})
    numbers |= {"timestamp": int(numbers["timestamp"]), "appid": 12345}
    texts = {name: json.dumps(one) if isinstance(one, dict) else _text(one) for name, one in fields.items()}
    urlencoded, form = sealed(fields | {"appid": "12345"}), sealed(texts)
    written = json.dumps(sealed(fields, nonce=str(next(DIGITS)))).replace('"nonce": "', '"nonce": ')
    return [
        json.dumps(numbers).encode(),
        quote(json.dumps(urlencoded)).encode(),
        urlencode(form).encode(),
        re.sub(r'("nonce": [0-9]+)"', r"\1", written).encode(),
    ]


DIGITS = count(10**9)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


async def test_callback_in_every_form_is_recorded_and_answered_with_2xx(cli: Cli) -> None:
    """Numbers as text, text as numbers, URL-encoded, a form: the effect is the same, and never an error."""
    expected = []
    async with listening(
        cli, "--submit-new", "--definition", "10", "--offset", "1", env=NO_ACCOUNT
    ) as listener:
        for fields, effect in CASES:
            again = "known" if effect == "added" else effect
            expected += [effect, again, again, again]
            for body in bodies(fields):
                assert (await post(listener.url, body), body) == ((200, "ok\n"), body)
    assert [one["effect"] for one in listener.said if one["event"] == "callback_taken"] == expected
    assert query(cli.folder / "batcher.db", "SELECT file_id FROM submissions ORDER BY id") == [
        (str(number),) for number in range(101, 107)
    ]
    kept = query(cli.folder / "batcher.db", "SELECT content FROM callbacks WHERE content LIKE '%p-1%'")
    assert len(kept) == 4
