"""Endpoints: which are accepted, and of which kind they are."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from batcher.model.submission import EndpointKind


def endpoint_of(text: str) -> str:
    """Read the URL of an endpoint.

    Raises:
        ValueError: it is none, or would show signatures to everyone on the way.
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError as exc:
        raise ValueError("not a URL") from exc
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ValueError("give a URL such as https://rtc-api.zego.im/")
    if parts.username or parts.password:
        raise ValueError("a URL without a user name")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "plain http is taken only for this machine's own addresses, since it would show the "
            "signature to everyone on the way; use https"
        )
    return parts._replace(path=parts.path or "/").geturl()


def place_of(endpoint: str) -> EndpointKind:
    """What kind of endpoint a URL names."""
    host = urlsplit(endpoint).hostname or ""
    return EndpointKind.ZEGO if host == "zego.im" or host.endswith(".zego.im") else EndpointKind.OTHER


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    return host in {"localhost", "::1"} or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))
