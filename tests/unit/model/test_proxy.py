"""The proxy on the way to an address: which one is used, and which one is refused."""

from __future__ import annotations

import os

import pytest

from batcher.errors import SettingsError
from batcher.model.proxy import proxy_for, read_proxy

SERVICE = "https://rtc-api.zego.im/"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128),
        ("proxy.example:3128", "proxy.example", 3128),
        ("localhost:3128", "localhost", 3128),
        (" http://proxy.example:3128/\n", "proxy.example", 3128),
        ("http://proxy.example", "proxy.example", 80),
        ("HTTPS://proxy.example", "proxy.example", 443),
        ("http://me:p%40ss@proxy.example:8080", "proxy.example", 8080),
        ("http://[2001:db8::1]:3128", "2001:db8::1", 3128),
        ("http://[2001:db8::1]", "2001:db8::1", 80),
    ],
)
def test_proxy_is_read_from_its_value(value: str, host: str, port: int) -> None:
    """A URL, or a host with a port; the default port is that of the scheme."""
    proxy = read_proxy(value, "HTTPS_PROXY")
    assert (proxy.host, proxy.port) == (host, port)
    assert "p%40ss" not in repr(proxy)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("socks5://proxy.example:1080", "a SOCKS proxy cannot be used"),
        ("SOCKS5H://proxy.example:1080", "a SOCKS proxy cannot be used"),
        ("ftp://proxy.example:21", "a proxy's URL begins with http:// or https://"),
        ("http://", "it names no host"),
        ("http://:3128", "it names no host"),
        ("http://me:hidden@:3128", "it names no host"),
        ("http://proxy.example:port", "its port is not a number from 1 to 65535"),
        ("http://proxy.example:0", "its port is not a number from 1 to 65535"),
        ("http://proxy.example:65536", "its port is not a number from 1 to 65535"),
        ("http://proxy.example:٣١٢٨", "its port is not a number from 1 to 65535"),
        ("http:/proxy.example:3128", "not a URL of scheme, host and port"),
        ("http://me:hid/den@proxy.example:3128", "not a URL of scheme, host and port"),
        ("http://proxy example:3128", "not a URL"),
        ("http://[::1", "not a URL"),
    ],
)
def test_proxy_that_cannot_be_used_is_refused_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    """The message names the variable, the fault and the remedy, and repeats no password."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SettingsError) as refused:
        proxy_for(SERVICE)
    text = str(refused.value)
    assert text.startswith("HTTPS_PROXY")
    assert why in text
    assert text.endswith(
        "Set HTTPS_PROXY to a URL such as http://proxy.example:3128, or add rtc-api.zego.im to NO_PROXY to "
        "connect directly"
    )
    assert "hid" not in text


A, B, SOCKS = "http://a.example:1", "http://b.example:2", "socks5://c.example:3"


@pytest.mark.parametrize(
    ("address", "named", "expected"),
    [
        (SERVICE, {}, None),
        (SERVICE, {"HTTPS_PROXY": A}, ("HTTPS_PROXY", "a.example")),
        (SERVICE, {"https_proxy": A}, ("https_proxy", "a.example")),
        (SERVICE, {"HTTPS_PROXY": A, "https_proxy": B}, ("https_proxy", "b.example")),
        (SERVICE, {"HTTP_PROXY": A, "http_proxy": A}, None),
        ("http://pictures.example/1.jpg", {"HTTP_PROXY": A, "HTTPS_PROXY": B}, ("HTTP_PROXY", "a.example")),
        (SERVICE, {"ALL_PROXY": A}, ("ALL_PROXY", "a.example")),
        (SERVICE, {"all_proxy": A}, ("all_proxy", "a.example")),
        (SERVICE, {"ALL_PROXY": SOCKS, "HTTPS_PROXY": A}, ("HTTPS_PROXY", "a.example")),
        (SERVICE, {"HTTPS_PROXY": A, "NO_PROXY": "zego.im"}, None),
        (SERVICE, {"HTTPS_PROXY": A, "no_proxy": ".zego.im"}, None),
        (SERVICE, {"HTTPS_PROXY": A, "NO_PROXY": "rtc-api.zego.im:443"}, None),
        (SERVICE, {"HTTPS_PROXY": A, "NO_PROXY": "rtc-api.zego.im:8443"}, ("HTTPS_PROXY", "a.example")),
        (SERVICE, {"HTTPS_PROXY": SOCKS, "NO_PROXY": "*"}, None),
        ("https://localhost:8421/", {"HTTPS_PROXY": SOCKS}, None),
        ("https://127.0.0.1:8421/", {"HTTPS_PROXY": SOCKS}, None),
        ("https://[::1]:8421/", {"HTTPS_PROXY": SOCKS}, None),
        (SERVICE, {"HTTPS_PROXY": ""}, None),
    ],
)
def test_proxy_is_chosen_by_scheme_and_host(
    monkeypatch: pytest.MonkeyPatch, address: str, named: dict[str, str], expected: tuple[str, str] | None
) -> None:
    """The variable of the scheme, else ALL_PROXY; none for this machine and what NO_PROXY names."""
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(address)
    assert (proxy and (proxy.source, proxy.host)) == expected


def test_all_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALL_PROXY with a SOCKS proxy is refused under its own name, with the variable to set instead."""
    monkeypatch.setenv("ALL_PROXY", SOCKS)
    with pytest.raises(SettingsError, match=r"^ALL_PROXY socks5://c\.example:3: a SOCKS .* Set HTTPS_PROXY "):
        proxy_for(SERVICE)
