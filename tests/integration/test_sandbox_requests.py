"""The sandbox takes every request that the documents allow: methods, bodies, names and letter case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import md5
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from support.calling import calling, sign, signed

from batcher.sandbox import (
    SANDBOX_APP_ID,
    SANDBOX_SERVER_SECRET,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
)

FIELDS = {
    "Action": "MediaThumbnails",
    "Vendor": "Tencent",
    "FileId": "5285890784246869931",
    "Type": "SnapshotByTimeOffset",
    "Definition": "10",
}
QUERY = urlencode(FIELDS)
NUMBERS = {"FileId": 5285890784246869931, "Definition": 10, "ExtTimeOffsetSet": [1, 2.5]}
OFFSETS = "&ExtTimeOffsetSet=1&ExtTimeOffsetSet=2.5"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Send a POST; return the answer."""
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
        parsed: dict[str, Any] = json.loads(await answer.text())
        return parsed


@pytest.mark.parametrize(
    "names",
    [
        ("ExtTimeOffsetSet", "ExtTimeOffsetSet"),
        ("ExtTimeOffsetSet[]", "ExtTimeOffsetSet[]"),
        ("ExtTimeOffsetSet%5B%5D", "ExtTimeOffsetSet%5B%5D"),
    ],
)
async def test_repeated_offsets_with_or_without_brackets_start_the_same_task(names: tuple[str, str]) -> None:
    """Both pages of the vendor name the parameter in their own way."""
    sandbox = Sandbox()
    async with calling(sandbox) as caller:
        assert (await caller.ask(f"{QUERY}&{names[0]}=1&{names[1]}=2.5")).code == 0
    assert sandbox.log[0].offsets == ("1", "2.5")


@pytest.mark.parametrize(
    ("query", "body", "headers"),
    [
        (f"{QUERY}{OFFSETS}", "", {}),
        ("", f"{QUERY}{OFFSETS}", FORM),
        (QUERY, OFFSETS, FORM),
        ("Action=MediaThumbnails", f"{QUERY}{OFFSETS}", {"Content-Type": "text/plain"}),
        ("", json.dumps(FIELDS | {"ExtTimeOffsetSet": [1, 2.5]}), {"Content-Type": "application/json"}),
        (QUERY, json.dumps({"ExtTimeOffsetSet[]": ["1", "2.5"], "Interval": None}), {}),
        (
            "Action=MediaThumbnails",
            json.dumps(FIELDS | NUMBERS),
            {},
        ),
    ],
)  # fmt: skip
async def test_post_with_parameters_in_query_or_body_starts_the_task(
    query: str, body: str, headers: Mapping[str, str]
) -> None:
    """A form, a JSON object with texts or numbers, and any Content-Type are read."""
    sandbox = Sandbox()
    async with sandbox.serve() as url:
        answer = await post(f"{url}?{signed(query)}", body.encode(), headers)
    assert answer["Code"] == 0
    [entry] = sandbox.log
    assert (entry.file_id, entry.definition, entry.offsets) == ("5285890784246869931", "10", ("1", "2.5"))


async def test_post_with_a_form_of_parts_is_read() -> None:
    """What ``curl -F`` sends; a form without its boundary cannot be read."""
    sandbox = Sandbox()
    async with sandbox.serve() as url, aiohttp.ClientSession() as session:
        with aiohttp.MultipartWriter("form-data") as parts:
            for name, value in (*FIELDS.items(), ("ExtTimeOffsetSet", "1"), ("ExtTimeOffsetSet", "2.5")):
                parts.append(value).set_content_disposition("form-data", name=name)
        async with session.post(f"{url}?{signed('')}", data=parts) as answer:
            assert json.loads(await answer.text())["Code"] == 0
        headers = {"Content-Type": "multipart/form-data"}
        assert (await post(f"{url}?{signed(QUERY)}", b"x", headers))["Code"] == 100000012
    assert sandbox.log[0].offsets == ("1", "2.5")


async def test_post_with_its_signature_in_the_body_is_accepted_and_not_logged() -> None:
    """All parameters may be in the body; the log shows no signature."""
    sandbox, public = Sandbox(), sign()
    async with sandbox.serve() as url:
        assert (await post(url, f"{QUERY}{OFFSETS}&{urlencode(public)}".encode(), FORM))["Code"] == 0
        numbers = {**FIELDS, **sign(), "AppId": SANDBOX_APP_ID, "ExtTimeOffsetSet": [1, 2]}
        assert (await post(url, json.dumps(numbers).encode()))["Code"] == 0
    assert [entry.app_id for entry in sandbox.log] == [str(SANDBOX_APP_ID)] * 2
    assert public["Signature"] not in str([entry.fields() for entry in sandbox.log])


@pytest.mark.parametrize(
    "body", ["{", "[1]", '{"FileId": {}}', '{"FileId": [[1]]}', "[" * 100_000, "{" * 2**20]
)
async def test_post_with_an_unreadable_body_gets_code_100000012(body: str) -> None:
    """The gateway cannot read the body, whatever the query says."""
    async with Sandbox().serve() as url:
        assert (await post(f"{url}?{signed(QUERY + OFFSETS)}", body.encode()))["Code"] == 100000012


@pytest.mark.parametrize(
    ("is_test", "given", "code"),
    [
        (True, "TRUE", 0),
        (True, "True", 0),
        (True, "false", 100000016),
        (True, None, 100000016),
        (False, "FALSE", 0),
        (False, "False", 0),
        (False, "TRUE", 100000016),
    ],
)
async def test_is_test_in_any_letter_case_is_read(is_test: bool, given: str | None, code: int) -> None:
    """The letter case of the value does not count."""
    async with calling(Sandbox(SandboxSettings(is_test=is_test))) as caller:
        query = QUERY + OFFSETS + (f"&IsTest={given}" if given else "")
        assert (await caller.ask(query)).code == code


@pytest.mark.parametrize(
    ("nonce", "code"), [("4FD24687296DD9F3", 0), ("4fD24687296dd9F3", 0), ("4fd2", 100000005)]
)
async def test_nonce_in_any_letter_case_is_accepted(nonce: str, code: int) -> None:
    """The documents ask for 16 hex digits; the signature is over the nonce as it was sent."""
    public = sign()
    text = f"{SANDBOX_APP_ID}{nonce}{SANDBOX_SERVER_SECRET}{public['Timestamp']}"
    signature = md5(text.encode(), usedforsecurity=False).hexdigest()
    async with calling(Sandbox()) as caller:
        changed = {**public, "SignatureNonce": nonce, "Signature": signature}
        assert (await caller.get(signed(QUERY + OFFSETS, changed))).code == code


async def test_search_names_its_ids_and_streams_with_or_without_brackets() -> None:
    """The limits of ten names and of 40 characters for an id hold for both."""
    sandbox = Sandbox(SandboxSettings(rate_per_s=0, recordings=RecordingSettings(count=100)))
    known, search = (
        [sandbox.recordings.at(place).file_id for place in (3, 50)],
        "Action=SearchMedia&Vendor=Tencent",
    )
    async with calling(sandbox) as caller:
        for name in ("FileId", "FileId[]"):
            asked = "".join(f"&{name}={one}" for one in known)
            found = (await caller.ask(search + asked)).data["MediaInfoSet"]
            assert sorted(item["FileId"] for item in found) == sorted(known)
            assert (await caller.ask(f"{search}&{name}={'1' * 40}")).code == 0
            assert (await caller.ask(f"{search}&{name}={'1' * 41}")).code == 2
        stream = sandbox.recordings.at(3).stream_id
        counts = [
            (await caller.ask(f"{search}&{name}={stream}")).data["TotalCount"]
            for name in ("StreamId", "StreamId[]")
        ]
        assert (counts[0], counts[1]) == (counts[1], counts[0])
        assert counts[0] > 0
        assert (await caller.ask(search + "&FileId=1" * 6 + "&FileId[]=1" * 5)).code == 2
        assert all("IntranetMediaUrl" in item["BasicInfo"] for item in found)
