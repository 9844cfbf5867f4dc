"""Which addresses pictures are taken from: those of the public internet, and none inside anybody's network.

Between an address that somebody else has named and the connection made for it. What counts is what a host's
name stands for at the moment of connecting, so a name that means something else a moment later changes
nothing. It never looks anything up.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from yarl import URL

_TEREDO = ipaddress.ip_network("2001::/32")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as networks of IPv6 alone write them."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out."""
_INWARD = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "192.0.0.0/24", "3fff::/20")))
"""A provider's own and those of examples, which not every version of Python knows as such."""


_NAME = re.compile(r"[A-Za-z0-9._-]{0,253}\.?")
"""What may be looked up, as far as its letters and its length go."""


class NotPublic(OSError):
    """A connection that is not made, since it would lead inside a network."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "its host is not at a public address, and we go nowhere else")


class AddressGuard:
    """Where pictures may be taken from.

    Args:
        of_this_machine: this machine's own addresses are good, too: the service itself is one of them.
    """

    def __init__(self, *, of_this_machine: bool = False) -> None:
        self._of_this_machine = of_this_machine

    def refusal(self, url: str) -> str | None:
        """Why a picture's address cannot be one that we go to; None when it may be."""
        if "://" not in url:
            return "the vendor names an object and no address; it is in the bucket that the vendor writes to"
        try:
            parsed = address_of(url)
        except ValueError:
            return "its address cannot be read"
        if parsed.scheme not in {"http", "https"}:
            return f"its address begins with {parsed.scheme[:20]}://, and only http and https are fetched"
        if parsed.raw_user is not None or parsed.raw_password is not None:
            return "its address holds a user name or a password, and none are sent"
        return None if parsed.raw_host else "its address names no host"

    def allow(self, host: str) -> bool:
        """Whether we connect to an address, as numbers."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return (self._of_this_machine and _is_local(address)) or _is_public(_unwrapped(address))

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for a connection that is about to be made, as ``socket.getaddrinfo`` describes it.

        Raises:
            NotPublic: it would not lead to an address that is allowed.
        """
        family, kind, protocol, _, address = info
        if not self.allow(str(address[0])):
            raise NotPublic
        return socket.socket(family, kind, protocol)


def address_of(url: str) -> URL:
    """An address as it is asked for: a signature in it stays as it was made.

    Raises:
        ValueError: it cannot be one.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("an address has no blanks and control characters")
    try:
        parsed = URL(url, encoded=url.isascii()).with_fragment(None)
        _ = parsed.host, parsed.port  # what is wrong with them shows here
        host = parsed.raw_host or ""
        host.encode("idna")  # as for the look-up of its name: no empty or endless label
    except Exception as exc:  # whatever a parser makes of a text that anybody can send
        raise ValueError("its parts cannot be read") from exc
    if ":" not in host and not _NAME.fullmatch(host):
        raise ValueError("its host's name can be nobody's")
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
    """The address that is meant when one of IPv6 holds one of IPv4."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(0)  # a tunnel to wherever its sender likes
    return address.ipv4_mapped or address.sixtofour or address
