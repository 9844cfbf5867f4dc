"""The addresses that pictures may be fetched from."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.fetch.address_guard import AddressGuard, NotPublic, address_of

PUBLIC = ["8.8.8.8", "119.29.29.29", "2400:3200::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"]
INWARD = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.9.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "no address",
    "",
]
LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("host", PUBLIC)
def test_public_address_is_allowed(host: str) -> None:
    """Addresses of the internet are allowed, also translated ones."""
    assert AddressGuard().allow(host)
    assert AddressGuard(of_this_machine=True).allow(host)


@pytest.mark.parametrize("host", INWARD)
def test_inside_address_is_refused(host: str) -> None:
    """Private, shared, reserved and local addresses are refused in every notation."""
    assert not AddressGuard().allow(host)


@pytest.mark.parametrize("host", sorted(set(INWARD) - set(LOOPBACK)))
def test_local_service_allows_no_other_network(host: str) -> None:
    """With the sandbox as the service, only this machine's own addresses are allowed in addition."""
    assert not AddressGuard(of_this_machine=True).allow(host)


@pytest.mark.parametrize("host", LOOPBACK)
def test_local_service_allows_this_machine(host: str) -> None:
    """With the sandbox as the service, pictures may be on this machine."""
    assert AddressGuard(of_this_machine=True).allow(host)


def test_socket_is_created_only_for_allowed_address() -> None:
    """The check applies to the connection, after the name was resolved."""
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80))
    with pytest.raises(NotPublic):
        AddressGuard().socket(info)
    AddressGuard().socket((*info[:4], ("8.8.8.8", 80))).close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("snapshots/1/0001.jpg", "names an object"),
        ("", "names an object"),
        ("file:///etc/passwd", "begins with file://"),
        ("ftp://example.com/a.jpg", "begins with ftp://"),
        ("gopher://example.com/", "begins with gopher://"),
        ("http://user@example.com/a.jpg", "user name"),
        ("http://:pass@example.com/a.jpg", "user name"),
        ("http:///a.jpg", "names no host"),
        ("http://exa mple.com/", "cannot be read"),
        ("http://example.com/a\r\nHost: b", "cannot be read"),
        ("http://example.com:99999/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
        ("http://example.com:x/", "cannot be read"),
        ("http://example.com:0/", "cannot be read"),
        ("http://[1::2::3]/", "cannot be read"),
        ("http://[fe80::1%25eth0]/", "cannot be read"),
        ("http:/a.jpg", "names no host"),
        ("https:a.jpg", "names no host"),
        ("//example.com/a.jpg", "does not begin with http://"),
        ("a/b?to=https://example.com/", "does not begin with http://"),
        ("data:image/png;base64,AAAA", "begins with data:;"),
        ("javascript:alert(1)", "begins with javascript:;"),
        ("record:1/0001.jpg", "names an object"),
        ("/record/0001.jpg", "names an object"),
    ],
)
def test_unusable_address_is_refused_with_reason(url: str, words: str) -> None:
    """Object names, other schemes, passwords and nonsense are refused before any request."""
    assert words in (AddressGuard().refusal(url) or "")


def test_signed_address_is_requested_unchanged() -> None:
    """No character of a query changes."""
    url = "https://cdn.example.com/a%2Fb/c.jpg?sign=a%2Bb%3D%3D&t=1&q=%e4%bd%a0&x=a+b;c"
    assert AddressGuard().refusal(url) is None
    assert str(address_of(url)) == url


def test_address_with_chinese_is_escaped() -> None:
    """Characters that a server would not accept are escaped."""
    assert str(address_of("https://example.com/截图.jpg")) == "https://example.com/%E6%88%AA%E5%9B%BE.jpg"


@given(st.text())
def test_refusal_of_any_text_never_raises(text: str) -> None:
    """For every text the result is a reason or None."""
    for url in (text, f"http://{text}", f"https://a/{text}"):
        why = AddressGuard().refusal(url)
        assert why is None or why
