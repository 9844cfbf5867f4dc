"""Removal of secrets from texts and URLs: signatures, tokens, passwords, values known to be secret.

The only owner of that rule. :class:`Redaction` is applied by the console to every text on stderr: our own
messages, the records of the libraries' loggers, tracebacks. :func:`redacted_url` is applied to every URL that
is shown or kept. Pure. Nothing here changes what is sent or the user's own columns; a text that is not
recognized as secret stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

MARK = "[redacted]"

SHORTEST_SECRET = 4
"""A learned value shorter than this is ignored: it would occur in ordinary words."""

_NAME_ENDS = (
    r"signature(?:_?nonce)?|token|secret|passw(?:or)?d|passphrase|credential|access_?key(?:_?id)?"
    r"|api_?key|auth_key|auth_info"
)
"""Ends of names whose values are secret, such as ``X-Amz-Signature``, ``access_token``, ``wsSecret``."""

_SHORT = r"(?<![A-Za-z0-9])(?:sign?|auth|pwd|q-ak|nonce)|(?<=[?&;])key"
"""Names that are secret only as whole words."""

_NAME = rf"(?:{_NAME_ENDS}|{_SHORT})"
_VALUE = r"""(?:\[redacted\]|(?!%26)[^\s&"'<>#;,)\]}])+"""

_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # Authorization: Basic …, as a header, in a mapping, in a pair; the scheme is removed too.
        (
            r"""((?:(?:proxy-)?authorization|(?:set-)?cookie)(?:["']?\s*[:=]|["']\s*,)\s*)"""
            r"""(?:b?(["'])(?:(?!\2).)*|[^\s"'][^\r\n"']*)""",
            rf"\1\2{MARK}",
        ),
        (r"\b(bearer\s+)[\w.~+/=-]{8,}", rf"\1{MARK}"),
        # Parameters of a URL or of a call, also where a whole URL is escaped inside another.
        (rf"""({_NAME}(?:=|%3D))(["']?){_VALUE}""", rf"\1\2{MARK}"),
        # The same in JSON and in the repr of a mapping.
        (rf"""({_NAME}["']\s*:\s*)b?(["'])(?:(?!\2).)*""", rf"\1\2{MARK}"),
        # User and password. The user of a database is no secret, and commands to paste need it.
        (r"""(?<!postgres)(?<!postgresql)(://)[^\s/?#"'<>]*@""", rf"\1{MARK}@"),
        (r"""(\bpostgres(?:ql)?://[^\s/?#"'<>:@]*:)[^\s/?#"'<>]*@""", rf"\1{MARK}@"),
        (r"""(%3A%2F%2F)(?:(?!%2F|%3F)[^\s/?#&"'<>])*%40""", rf"\1{MARK}%40"),
        # Addresses that are secrets themselves: their owner can write to that channel.
        (
            r"""(\bhooks\.slack\.com/(?:services|workflows|triggers)/|\bapi\.telegram\.org/bot|\bhc-ping\.com/"""
            r"""|://[^\s"'<>?#]{1,300}?/(?:api/)?(?:incoming)?(?:web)?hooks?(?:b2)?/)"""
            r"""[^\s"'<>?#]*[^\s"'<>?#:;,.)]""",
            rf"\1{MARK}",
        ),
    )
)

_SECRET_NAME = re.compile(
    rf"(?:.*(?:{_NAME_ENDS})|sign?|auth|pwd|nonce|(?:proxy-)?authorization|(?:set-)?cookie)", re.IGNORECASE
)

_URL_START = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?//")


def redacted_url(url: str) -> str:
    """Return a URL, or a reference relative to one, without user, password, query and fragment.

    A name in an object store may hold ``#``, so only HTTP has fragments.
    """
    start = _URL_START.match(url)
    head, scheme = (start[0], start[1]) if start else ("", None)
    ends = "?#" if scheme is None or scheme.lower() in ("http", "https") else "?"
    place = re.split(f"[{ends}]", url[len(head) :], maxsplit=1)[0]
    host, slash, path = place.partition("/")
    return f"{head}{host.rpartition('@')[2] if head else host}{slash}{path}"


def redacted_urls(text: str) -> str:
    """Return a text with every URL in it shown as by :func:`redacted_url`; its other words stay."""
    return re.sub(r"\?[^\s'\")]+", "", re.sub(r"//[^/\s@]+@", "//", text))


class Redaction:
    """The values known to be secret, and the function that removes them from a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.learn(*secrets)

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<Redaction of {len(self._spellings)} spellings>"

    def learn(self, *secrets: str) -> None:
        """Remove these values as well from now on, also as written in a URL or in quotes."""
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                self._spellings |= _spellings(secret)
        if self._spellings:
            longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
            self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def learn_url(self, url: str) -> None:
        """Learn a URL that is a secret, and its path, which is the secret of a known host."""
        self.learn(url, url.split("://", 1)[-1].partition("/")[2])

    def __call__(self, text: str) -> str:
        """Return a text without secrets."""
        if self._known is not None:
            text = self._known.sub(MARK, text)
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        return text

    def of(self, value: object) -> object:
        """Return a value of an event with every text in it redacted; other types become text."""
        match value:
            case str():
                return self(value)
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {self(str(name)): self.under(str(name), inner) for name, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.of(inner) for inner in value]
            case bytes():
                return self(value.decode("utf-8", "backslashreplace"))
            case _:
                return self(str(value))

    def under(self, name: str, value: object) -> object:
        """Return a value with a name, redacted; wholly if the name is that of a secret."""
        return MARK if isinstance(value, str | bytes) and _SECRET_NAME.fullmatch(name) else self.of(value)


def _spellings(secret: str) -> set[str]:
    """Return the ways a value is written in texts: as it is, escaped in a URL, escaped in quotes."""
    in_quotes = secret.encode("unicode_escape").decode("ascii")
    raw = secret.encode("utf-8", "surrogatepass")  # a variable may hold bytes of any kind
    return {secret, quote(raw, safe=""), quote_plus(raw), quote(raw), in_quotes}
