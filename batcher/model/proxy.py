"""The proxy on the way to an address, as the environment or the system names it.

The only place that decides this: for calls of the service (:mod:`batcher.zego.transport`), for pictures
(:mod:`batcher.fetch.http_source`), for manifests at URLs (:mod:`batcher.manifest.sources.http_requests`),
and for the checks at the start of a command (:mod:`batcher.flowcontrol.service_access`,
:mod:`batcher.api.manifests`). :func:`read_proxy` is pure. The URL
of a proxy may hold a password, so no message repeats more of it than its host and port.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from batcher.errors import SettingsError

EVERY_SCHEME = "all"
"""The name under which ``ALL_PROXY`` is known: it counts where no variable of the scheme is set."""

_USABLE = ("http", "https")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that can be used."""

    url: str = field(repr=False)
    """With the user name and the password, if it has them."""
    source: str
    """Where it is named: a variable, or the settings of the system."""
    host: str
    port: int

    @property
    def text(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def named(self) -> str:
        """The proxy and where it is named, as the subject of a message."""
        return f"the proxy {self.text} of {self.source}"


def proxy_for(address: str | URL) -> Proxy | None:
    """Return the proxy of an address; None if it is connected to directly, as this machine always is.

    Raises:
        SettingsError: the proxy that is named for it cannot be used.
    """
    target = URL(address)
    host = target.host or ""
    at = f"[{host}]" if ":" in host else host
    if _is_this_machine(host) or proxy_bypass(f"{at}:{target.port}"):
        return None
    return _named(target.scheme, host)


def check_proxies() -> None:
    """Check the proxies of addresses that are not known yet, such as those of pictures.

    Raises:
        SettingsError: some cannot be used; all of them are named.
    """
    problems: list[str] = []
    for scheme in _USABLE:
        try:
            _named(scheme, "the host")
        except SettingsError as exc:
            problems += exc.lines
    if problems:
        raise SettingsError(*problems)


def _named(scheme: str, host: str) -> Proxy | None:
    """Return the proxy that is named for a scheme.

    Raises:
        SettingsError: it cannot be used.
    """
    values = getproxies()
    key = next((one for one in (scheme, EVERY_SCHEME) if values.get(one)), None)
    if key is None:
        return None
    try:
        return read_proxy(values[key], _source_of(key))
    except ValueError as exc:
        raise SettingsError(
            f"{_source_of(key)}{_shown(values[key])}: {exc}. Set {scheme.upper()}_PROXY to a URL such as "
            f"http://proxy.example:3128, or add {host} to NO_PROXY to connect directly"
        ) from None


def read_proxy(value: str, source: str) -> Proxy:
    """Read the value of a variable; a value without a scheme is the host of an ``http`` proxy.

    Raises:
        ValueError: it cannot be used; the text says why and repeats nothing of it.
    """
    text = value.strip()
    text = text if "://" in text else f"http://{text}"
    scheme = text.partition("://")[0].lower()
    if scheme.startswith("socks"):
        raise ValueError("a SOCKS proxy cannot be used, only an HTTP proxy")
    if scheme not in _USABLE:
        raise ValueError("a proxy's URL begins with http:// or https://")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise ValueError("not a URL") from None
    if not host:
        raise ValueError("it names no host")
    if parts.path.strip("/") or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise ValueError("not a URL of scheme, host and port; write / # ? @ in a password as %2F %23 %3F %40")
    port = _port(parts.netloc.rpartition("@")[2], 443 if scheme == "https" else 80)
    return Proxy(text, source, host, port)


def _port(place: str, default: int) -> int:
    """Return the port in a host and port.

    Raises:
        ValueError: it is not a port.
    """
    port = place.rpartition("]")[2].partition(":")[2]
    if not port:
        return default
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("its port is not a number from 1 to 65535")
    return int(port)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _source_of(scheme: str) -> str:
    """Return the variable that names the proxy of a scheme; one in lower case outranks the others."""
    names = [name for name, value in os.environ.items() if value and name.lower() == f"{scheme}_proxy"]
    return min(names, key=lambda name: not name.islower(), default="the system's proxy settings")


def _shown(value: str) -> str:
    """Return a value as a message repeats it, after a blank; empty if it may hold a password."""
    return "" if "@" in value or not value.isprintable() else f" {value.partition('?')[0]}"
