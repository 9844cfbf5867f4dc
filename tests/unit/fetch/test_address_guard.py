"""Where pictures are taken from: the public internet, and nobody's own network."""

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
def test_public_addresses_are_good(host: str) -> None:
    """What belongs to the internet is connected to, also through a translation of addresses."""
    assert AddressGuard().allow(host)
    assert AddressGuard(of_this_machine=True).allow(host)


@pytest.mark.parametrize("host", INWARD)
def test_no_connection_leads_inside_a_network(host: str) -> None:
    """Private, shared, reserved and local addresses are not connected to, in whatever form they come."""
    assert not AddressGuard().allow(host)


@pytest.mark.parametrize("host", sorted(set(INWARD) - set(LOOPBACK)))
def test_a_service_on_this_machine_opens_no_other_network(host: str) -> None:
    """With the sandbox as the service, this machine's own addresses are good and no others."""
    assert not AddressGuard(of_this_machine=True).allow(host)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_service_on_this_machine_has_its_pictures_there(host: str) -> None:
    """With the sandbox as the service, pictures come from this machine."""
    assert AddressGuard(of_this_machine=True).allow(host)


def test_a_socket_is_made_for_what_is_allowed_alone() -> None:
    """The check stands where the connection is made, after every name has been looked up."""
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
    ],
)
def test_what_is_no_address_to_go_to_is_refused_with_its_reason(url: str, words: str) -> None:
    """Object names, other schemes, passwords and nonsense are refused before anything is asked."""
    assert words in (AddressGuard().refusal(url) or "")


def test_a_signed_address_is_asked_for_as_it_was_signed() -> None:
    """Not one letter of a query changes on its way."""
    url = "https://cdn.example.com/a%2Fb/c.jpg?sign=a%2Bb%3D%3D&t=1&q=%e4%bd%a0&x=a+b;c"
    assert AddressGuard().refusal(url) is None
    assert str(address_of(url)) == url


def test_an_address_with_chinese_in_it_is_escaped() -> None:
    """What a server would not understand is written as it would."""
    assert str(address_of("https://example.com/截图.jpg")) == "https://example.com/%E6%88%AA%E5%9B%BE.jpg"


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    """Whatever the vendor names, the answer is a reason or none."""
    for url in (text, f"http://{text}", f"https://a/{text}"):
        why = AddressGuard().refusal(url)
        assert why is None or why
