"""The rule for addresses from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model.web_address import split_address

UNUSABLE = [
    "https://a..b/",
    "https://.a/",
    f"https://{'a' * 64}.example/",
    f"https://{'.'.join(['a' * 60] * 6)}/",
    "https://xn--a/",
    "https://\u4f8b..\u3048/",
    "https://a b/",
    "https://a/\x01",
    "https://a\\b/",
    "https://a,b/",
    "https://a%00b/",
    "https://*/",
    "https://a:0/",
    "https://a:x/",
    "https://a:99999/",
    "https://[::1",
    "https://[1::2::3]/",
    "https://[fe80::1%25eth0]/",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_address_that_cannot_be_requested_is_refused(url: str) -> None:
    """What a library would refuse later raises ValueError here."""
    with pytest.raises(ValueError, match=r"."):
        split_address(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://rtc-api.zego.im/a?b=c", "rtc-api.zego.im"),
        ("http://[::1]:80/", "::1"),
        ("https://\u4f8b\u3048.jp/", "\u4f8b\u3048.jp"),
        ("https://a_b.example./", "a_b.example."),
        ("https:///x", None),
    ],
)
def test_usable_address_is_split(url: str, host: str | None) -> None:
    """Names in any script and IPv6 addresses are hosts; a missing host is for the caller to judge."""
    assert split_address(url).hostname == host


@given(st.text())
def test_address_of_any_text_raises_only_value_errors(text: str) -> None:
    """No text from outside ends in another exception."""
    for url in (text, f"https://{text}", f"https://a/{text}"):
        try:
            split_address(url)
        except ValueError:
            continue
