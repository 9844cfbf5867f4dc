"""Endpoints: which URLs are accepted, which kind of service they name, and whether a port can be served.

Pure, apart from :func:`check_free`. Plain HTTP is accepted for loopback addresses only; anything else would
show signatures on the network.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from urllib.parse import urlsplit

from batcher.model.submission import EndpointKind
from batcher.model.web_address import split_address


def endpoint_of(text: str) -> str:
    """Return the URL of an endpoint, with a path.

    Raises:
        ValueError: it is not such a URL, or would show signatures to everyone on the network.
    """
    try:
        parts = split_address(text)
        host = parts.hostname
    except ValueError as exc:
        raise ValueError("not a URL") from exc
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ValueError("give a URL such as https://rtc-api.zego.im/")
    if parts.username or parts.password:
        raise ValueError("give a URL without a user name")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "plain http is accepted for this machine's own addresses only, since it would show the "
            "signature to everyone on the network; use https"
        )
    return parts._replace(path=parts.path or "/").geturl()


def place_of(endpoint: str) -> EndpointKind:
    """Return the kind of endpoint a URL names."""
    host = urlsplit(endpoint).hostname or ""
    return EndpointKind.ZEGO if host == "zego.im" or host.endswith(".zego.im") else EndpointKind.OTHER


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def check_free(host: str, port: int) -> None:
    """Listen at an address for an instant, so that a command is refused before it creates anything.

    Raises:
        OSError: the address cannot be listened on.
        UnicodeError: the host cannot be a name.
    """
    loop = asyncio.get_running_loop()
    async with await loop.create_server(asyncio.Protocol, host.strip("[]"), port):
        pass
