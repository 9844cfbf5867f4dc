"""The rule for addresses from outside that are requested: the only owner of it. Pure.

Called for addresses of pictures, of the service and of checks that are pinged. What the libraries refuse only
at the moment of a request is refused here, so that it is the address's fault and not a defect.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

_NAME = re.compile(r"[A-Za-z0-9._-]{0,253}\.?")
"""The characters and the length of a name that may be resolved."""


def split_address(url: str) -> SplitResult:
    """Return the parts of an address; its scheme and its host may be empty.

    Raises:
        ValueError: it is not an address.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("an address has no blanks and control characters")
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError("no server has the port 0")
    host = parts.hostname or ""
    if ":" in host:
        if IPv6Address(host).scope_id is not None:
            raise ValueError("a zone names a network of one machine")
        return parts
    encoded = host.encode("idna")  # as for resolving the name: no empty or overlong label
    encoded.decode("idna")
    if not _NAME.fullmatch(encoded.decode("ascii")):
        raise ValueError("its host's name is not valid")
    return parts
