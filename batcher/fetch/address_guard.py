"""The addresses that pictures may be fetched from: addresses of the public internet only.

Called by :mod:`batcher.fetch.http_source`, before a request and for every connection. Addresses of pictures
come from outside, so they must not lead into the user's network. The check counts at the moment of
connecting, on the numeric address, so a name that is resolved differently a moment later changes nothing.
This module never resolves a name.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from yarl import URL

from batcher.model.web_address import split_address

_TEREDO = ipaddress.ip_network("2001::/32")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as IPv6-only networks write them."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""The part of IPv6 that is assigned."""
_INWARD = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "192.0.0.0/24", "3fff::/20")))
"""Provider networks and networks for examples, which some versions of Python count as public."""

_ADDRESS = re.compile(r".*://|//|(https?|ftp|file|data|blob|javascript):", re.IGNORECASE | re.DOTALL)
"""An address, also a damaged one, or one inside another; names of objects may hold colons."""


class NotPublic(OSError):
    """A connection that is refused because it would lead into a network that is not public."""

    def __init__(self) -> None:
        super().__init__(
            errno.EACCES, "its host has no public address, and only public addresses are fetched"
        )


class AddressGuard:
    """The check of addresses.

    Args:
        of_this_machine: also allow addresses of this machine, because the service itself has one.
    """

    def __init__(self, *, of_this_machine: bool = False) -> None:
        self._of_this_machine = of_this_machine

    def refusal(self, url: str) -> str | None:
        """Return why a picture's address is never requested; None if it may be."""
        if is_object(url):
            return (
                "the vendor names an object, not an address; find it in the bucket that the vendor writes to"
            )
        try:
            parsed = address_of(url)
        except ValueError:
            return "its address cannot be read"
        if not parsed.scheme:
            return "its address does not begin with http:// or https://"
        if parsed.scheme not in {"http", "https"}:
            slashes = "//" if url[len(parsed.scheme) :].startswith("://") else ""
            return f"its address begins with {parsed.scheme[:20]}:{slashes}; only http and https are fetched"
        if parsed.raw_user is not None or parsed.raw_password is not None:
            return "its address has a user name or a password, which are never sent"
        return None if parsed.raw_host else "its address names no host"

    def allow(self, host: str) -> bool:
        """Return whether a numeric address may be connected to."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return (self._of_this_machine and _is_local(address)) or _is_public(_unwrapped(address))

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for a connection to an address from ``socket.getaddrinfo``.

        Raises:
            NotPublic: the address is not allowed.
        """
        family, kind, protocol, _, address = info
        if not self.allow(str(address[0])):
            raise NotPublic
        return socket.socket(family, kind, protocol)


def is_object(url: str) -> bool:
    """Return whether a picture is named by an object of a bucket, and not by an address."""
    return not _ADDRESS.match(url)


def address_of(url: str) -> URL:
    """Return an address in the form in which it is requested; a signature in it is not changed.

    Raises:
        ValueError: it is not an address.
    """
    try:
        split_address(url)
        parsed = URL(url, encoded=url.isascii()).with_fragment(None)
        _ = parsed.host, parsed.port  # raises here if they are wrong
    except Exception as exc:  # a parser may raise anything on text from outside
        raise ValueError("its parts cannot be read") from exc
    return parsed


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return not any(address in network for network in _INWARD)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 address, if there is one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(0)  # a tunnel to an address of the sender's choice
    return address.ipv4_mapped or address.sixtofour or address
