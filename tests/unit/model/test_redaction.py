"""Secrets are removed from every text, and the rest stays."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model.redaction import MARK, Redaction, redacted_url, redacted_urls

LEARNED = "9193cc662a4c0ec135ec71fb57194b38"
ODD = "p@ss'wo/rd%\"1+é"

GIVEN_AWAY = [
    ("https://rtc-api.zego.im/?AppId=1&SignatureNonce=AWAY&Signature=AWAY&Timestamp=5", "Timestamp=5"),
    (
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=AWAY%2F2&X-Amz-Signature=AWAY&X-Amz-Date=7",
        "X-Amz-Date=7",
    ),
    ("https://b.s3.amazonaws.com/k?x-amz-security-token=AWAY", "amazonaws.com/k?"),
    ("https://storage.googleapis.com/k?X-Goog-Signature=AWAY&X-Goog-Credential=AWAY", "googleapis.com/k"),
    ("https://b.oss-cn.aliyuncs.com/k?OSSAccessKeyId=AWAY&Expires=9&Signature=AWAY%3D", "Expires=9"),
    ("https://b.cos.ap.myqcloud.com/k?q-ak=AWAY&q-sign-time=1;2&q-signature=AWAY", "q-sign-time=1;2"),
    ("https://b.obs.cn/k?AccessKeyId=AWAY&Signature=AWAY", "b.obs.cn/k"),
    ("https://cdn.example/v.mp4?t=6&us=8&sign=AWAY", "t=6&us=8"),
    ("https://cdn.example/v.mp4?wsSecret=AWAY&wsTime=3", "wsTime=3"),
    ("https://x.blob.core.windows.net/k?sv=2&sig=AWAY%2B", "sv=2"),
    ("no URL: token=AWAY, password='AWAY', api_key=AWAY", "no URL"),
    ("redirect=https%3A%2F%2Fu%3AAWAY%40host%2Fk%3FSignature%3DAWAY%26part%3D2", "part%3D2"),
    ("postgresql+asyncpg://AWAY:AWAY@host/db cannot be reached", "host/db cannot be reached"),
    ("https://AWAY@host:8443/x", "host:8443/x"),
    ("Authorization: Bearer AWAY\nnext line", "next line"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=AWAY, SignedHeaders=AWAY, Signature=AWAY", "Authorization"),
    ("{'Authorization': 'Basic AWAY', 'Host': 'h'}", "'Host': 'h'"),
    ("[(b'proxy-authorization', b'Basic AWAY'), (b'host', b'h')]", "(b'host', b'h')"),
    ("sent bearer AWAYAWAY again", "again"),
    ("Set-Cookie: session=AWAY", "Set-Cookie"),
    ('{"access_token": "AWAY", "expires_in": 72}', '"expires_in": 72'),
    ("https://hooks.slack.com/services/AWAY/AWAY: 404", ": 404"),
    ("https://discord.com/api/webhooks/AWAY/AWAY", "discord.com"),
    ("https://open.feishu.cn/open-apis/bot/v2/hook/AWAY", "open.feishu.cn"),
    ("https://oapi.dingtalk.com/robot/send?access_token=AWAY", "oapi.dingtalk.com/robot/send"),
    ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=AWAY", "qyapi.weixin.qq.com"),
    ("https://api.telegram.org/botAWAY:AWAY/sendMessage", "api.telegram.org"),
    ("https://hc-ping.com/AWAY is gone", "is gone"),
]

HARMLESS = [
    "BATCHER_SERVER_SECRET: the ServerSecret is missing; set it, or BATCHER_SERVER_SECRET_FILE to a file",
    "code 100000005: signature wrong; compare the ServerSecret with the console",
    "archive.csv line 42, column file_id: 1.39776E+18 has lost its digits. Export the column as text",
    "batcher run 'new archive.csv' --vendor Tencent --definition 10 --offset 1",
    "design=5 assign=3 keyword=4 author=x",
    "/record/hooks/2024-11-13.mp4 at user@example.com: rejected",
    "http://127.0.0.1:8420/_sandbox/summary?part=2",
]


@pytest.mark.parametrize(("text", "kept"), GIVEN_AWAY)
def test_credentials_in_a_text_are_removed(text: str, kept: str) -> None:
    """Signatures, tokens, passwords and addresses that are secrets are removed; the place stays."""
    redacted = Redaction()(text)
    assert "AWAY" not in redacted
    assert MARK in redacted
    assert kept in redacted


@pytest.mark.parametrize("text", HARMLESS)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    """Words about secrets are no secrets."""
    assert Redaction([LEARNED])(text) == text


@pytest.mark.parametrize("secret", [LEARNED, ODD])
@pytest.mark.parametrize(
    "spelled",
    [
        str,
        quote,
        quote_plus,
        lambda one: quote(one, safe=""),
        str.upper,
        lambda one: one.replace("é", "\\xe9"),
    ],
)
def test_learned_value_is_removed_in_every_spelling(secret: str, spelled: object) -> None:
    """Also as written in a URL or an escape, and inside a longer word."""
    assert callable(spelled)
    assert Redaction([secret])(f"md5(12345{spelled(secret)}1615186943)") == f"md5(12345{MARK}1615186943)"


@given(st.text(), st.text(), st.lists(st.text(min_size=4), max_size=3))
def test_no_learned_value_is_left_anywhere(before: str, after: str, others: list[str]) -> None:
    """In any text, and with any other secrets learned."""
    redaction = Redaction([LEARNED, *others])
    assert LEARNED not in redaction(before + LEARNED + after)


def test_short_value_is_not_learned() -> None:
    """Nothing, and a letter or two, would tear every text apart."""
    assert Redaction(["", "a", "abc"])("abc and a cab") == "abc and a cab"


def test_event_is_redacted_at_every_depth() -> None:
    """Mappings, lists, bytes and things that only become text; numbers stay numbers."""
    event = {
        "reason": f"with {LEARNED}",
        "run": {"sent": 3, "rate": 1.5, "why": None, "on": True, "urls": ["https://h/?sign=5", "https://h/"]},
        "token": "plain",
        "raw": f"x{LEARNED}".encode(),
        "error": ValueError(f"https://u:p@h/?Signature={LEARNED}"),
        LEARNED: "a name",
    }
    redacted = Redaction([LEARNED]).of(event)
    assert LEARNED not in json.dumps(redacted)
    assert redacted == {
        "reason": f"with {MARK}",
        "run": {
            "sent": 3,
            "rate": 1.5,
            "why": None,
            "on": True,
            "urls": [f"https://h/?sign={MARK}", "https://h/"],
        },
        "token": MARK,
        "raw": f"x{MARK}",
        "error": f"https://{MARK}@h/?Signature={MARK}",
        MARK: "a name",
    }


def test_repr_of_a_redaction_shows_no_secret() -> None:
    """Its repr shows no secret."""
    assert LEARNED not in repr(Redaction([LEARNED]))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a.-",
        "signature",
        "'token':",
        "'token':'",
        "cookie: ",
        'cookie="',
        "bearer ",
        "/hook",
        "@",
        "%3D",
    ],
)
def test_long_text_takes_no_longer_than_its_length(part: str) -> None:
    """No text makes the search go over it again and again."""
    text = "://" + part * (300_000 // len(part))
    assert Redaction([LEARNED])(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:word@h.example:8443/a?token=s#x", "https://h.example:8443/a"),
        ("HTTPS://h.example?token=s", "HTTPS://h.example"),
        ("s3://bucket/a#1.csv?versionId=7", "s3://bucket/a#1.csv"),
        ("//user@h.example/a?b", "//h.example/a"),
        ("/login?next=/a#b", "/login"),
        ("sqlite:///old.db?mode=ro", "sqlite:///old.db"),
        ("", ""),
    ],
)
def test_redacted_url_keeps_host_and_path_only(url: str, shown: str) -> None:
    """User, password, query and fragment are removed; `#` in the name of an object is part of it."""
    assert redacted_url(url) == shown


def test_redacted_urls_keep_the_words_around_them() -> None:
    """The URLs in a message of a library are shown as any other URL."""
    assert redacted_urls("GET https://u:p@h/a?sig=1 failed ('x?y')") == "GET https://h/a failed ('x')"


def test_learned_url_is_removed_as_a_whole_and_by_its_path() -> None:
    """The path of a URL that is a secret is a secret by itself."""
    redaction = Redaction()
    redaction.learn_url("https://hc.example/5f1c-uuid")
    assert redaction("no answer from hc.example at /5f1c-uuid") == f"no answer from hc.example at /{MARK}"
