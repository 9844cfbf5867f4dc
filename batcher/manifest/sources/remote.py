"""Manifests at a URL, through fsspec and the packages for it that the user has installed.

Opened by :mod:`batcher.manifest.reader`. A manifest is read as a stream and never copied whole, except for
formats that are read in any order from servers that cannot serve parts. The packages find their credentials
themselves. The part of a URL after ``?`` may be a signature, and the part before ``@`` a password: neither is
ever shown or kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from batcher.errors import ManifestError, SettingsError
from batcher.manifest.display import shown
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import BLOCK_BYTES, Readable, Source, Unread
from batcher.model.redaction import redacted_url, redacted_urls

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PART_BYTES = 1 << 22
"""The bytes of one request where a file is read in parts."""
CONNECT_S = 30.0
SILENCE_S = 60.0
"""The time limit for the next bytes in the middle of a manifest."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "http": "aiohttp",
    "https": "aiohttp",
    "oss": "ossfs",
    "cos": "cosfs",
    "obs": "obsfs",
    "tos": "tosfs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "oci": "ocifs",
    "webdav": "webdav4",
}
"""The package that opens each protocol."""
_HTTP = ("http", "https")
_NO_PLACES = frozenset(
    (
        *("memory", "data", "local", "asynclocal", "zip", "tar", "libarchive", "dir", "cached", "blockcache"),
        *("filecache", "simplecache", "reference", "generic", "async_wrapper", "dask", "jupyter", "jlab"),
    )
)
"""Protocols of fsspec that lead to another file, or to none."""
_PROXIES = "HTTPS_PROXY, ALL_PROXY and NO_PROXY"
_SIGNING = re.compile(
    r"(x-(amz|goog|oss|obs|cos|ms)-.*|q-.*|.*signature.*|.*token.*|.*access-?key-?id|googleaccessid|expires|expiry|"
    r"key-pair-id|policy|auth_?key|sig|sign|s[epvrt]|spr|sk.*|e)",
    re.IGNORECASE,
)
"""Names of the parameters that object stores add to a signed URL."""
_T = TypeVar("_T")


def is_url(source: str) -> bool:
    """Whether a source is a URL."""
    return _URL.match(source) is not None


def redacted(source: str) -> str:
    """Return a source as it may be shown and kept: a URL without user, password, query and fragment."""
    return redacted_url(source) if is_url(source) else source


def stable_url(url: str) -> str:
    """Return the part of a URL that stays the same when it is signed again: the identity of a manifest.

    Parameters that are not a signature distinguish manifests, so they count. They may be secret nevertheless,
    so only their digest is included.
    """
    query = url.partition("?")[2].partition("#")[0]
    names = [part for part in query.split("&") if part and not _SIGNING.fullmatch(part.partition("=")[0])]
    digest = hashlib.sha256("&".join(names).encode()).hexdigest()[:12]
    return f"{redacted(url)}?{digest}" if names else redacted(url)


def open_remote(url: str) -> Source:
    """Open the manifest at a URL.

    Raises:
        ManifestError: it is missing, may not be read, its server cannot be reached, or a package is missing.
    """
    found = _URL.match(url)
    assert found, "no URL"
    protocol = found[1].lower()
    name = redacted(url)
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise ManifestError(f"{name}: this is not a URL. Correct its host") from None
    if protocol == "http" and not _is_loopback(host):
        raise ManifestError(
            f"{name}: plain http is accepted from this machine's own addresses only, since anyone on the "
            "network could change what is paid for. Use https"
        )
    if protocol == "ftp":
        raise ManifestError(
            f"{name}: ftp is not accepted, since anyone on the network could change what is paid for. Use "
            "https or sftp, or copy the file here first"
        )
    system, path = _system(name, protocol, url)
    return RemoteSource(name, url, system, path, streamed=protocol in _HTTP)


def matching(pattern: str) -> list[str]:
    """Return the URLs that a pattern matches, sorted; a URL that exists matches itself. HTTP has no patterns.

    Raises:
        ManifestError: nothing matches, or the folder cannot be listed.
    """
    found = _URL.match(pattern)
    if not found or found[1].lower() in _HTTP or not any(mark in pattern for mark in "*["):
        return [pattern]
    name = redacted(pattern)
    system, path = _system(name, found[1].lower(), pattern)
    with _translated(name, pattern):
        if system.exists(path):
            return [pattern]
        names = sorted(
            str(name) for name, info in system.glob(path, detail=True).items() if info["type"] == "file"
        )
    if not names:
        raise ManifestError(f"{name}: no file matches this pattern")
    return [f"{found[0]}{name}" for name in names]


class RemoteSource(Source):
    """A manifest at a URL."""

    def __init__(self, name: str, url: str, system: AbstractFileSystem, path: str, *, streamed: bool) -> None:
        super().__init__(name, checkable=False)
        self._url = url
        self._system = system
        self._path = path
        self._streamed = streamed
        self._file: Readable = self._open(0 if streamed else PART_BYTES)
        self._partly: Any = None

    def _open(self, block_size: int) -> Any:  # noqa: ANN401 - fsspec has no types
        with _translated(self.name, self._url):
            # The size of a stream is not requested: a signed URL may allow only one kind of request.
            unasked = {} if block_size else {"size": 1}
            file = self._system.open(
                self._path, "rb", block_size=block_size, cache_type="readahead", **unasked
            )
            # A redirect may have led elsewhere.
            answer = getattr(getattr(file, "r", None), "url", None)
        if answer is not None and answer.scheme == "http" and not _is_loopback(answer.host or ""):
            file.close()
            raise ManifestError(
                f"{self.name}: its server redirects to plain http, which anyone on the network could change. "
                "Use another URL"
            )
        return file

    def _pull(self) -> bytes:
        with _translated(self.name, self._url):
            return self._file.read(BLOCK_BYTES) or b""

    def seekable(self) -> BinaryIO:
        """Return the file read in parts where its server can serve parts, else a temporary copy."""
        if self._streamed:
            self._partly = self._open(PART_BYTES)
            if not self._serves_parts(self._partly):
                return super().seekable()
        else:
            self._partly = self._open(PART_BYTES)
        self._file.close()
        return io.BufferedReader(_Parts(self._partly, self.name, self._url))

    def _serves_parts(self, file: Any) -> bool:  # noqa: ANN401 - fsspec has no types
        """Whether the server sends the last byte alone; servers do not always announce that."""
        try:
            size = int(file.size or 0)
            file.seek(size - 1)
            return size > 0 and len(file.read(1)) == 1
        except (ValueError, OSError, TypeError):
            return False

    def close(self) -> None:
        """Close the file, if the connection still allows it."""
        super().close()
        for file in (self._file, self._partly):
            if file is not None:
                with contextlib.suppress(Exception):  # nothing was written, so nothing can be lost
                    file.close()


class _Parts(io.RawIOBase):
    """A file read in parts, its errors translated."""

    def __init__(self, file: Any, name: str, url: str) -> None:  # noqa: ANN401 - fsspec has no types
        super().__init__()
        self._file = file
        self._named = (name, url)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._translated(lambda: int(self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        data = self._translated(lambda: bytes(self._file.read(len(buffer))))
        buffer[: len(data)] = data
        return len(data)

    def _translated(self, call: Callable[[], _T]) -> _T:
        with _translated(*self._named):
            return call()


def _system(name: str, protocol: str, url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a protocol, and the path of a URL in it."""
    with needed("fsspec", f"{name}: a URL"):
        import fsspec
    if protocol in _NO_PLACES:
        raise ManifestError(
            f"{name}: a manifest cannot be at {protocol}://. Give the URL or the path of the file itself"
        )
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as exc:
        package = _PACKAGES.get(protocol)
        hint = (
            f"pip install '{package}'"
            if package
            else "install the fsspec package that does, or copy the file here first"
        )
        raise ManifestError(f"{name}: no package here opens {protocol}://: {hint}") from exc
    options: dict[str, Any] = {"skip_instance_cache": True}
    if protocol in _HTTP:
        import aiohttp

        from batcher.manifest.sources.http_requests import ProxiedRequest

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        options["client_kwargs"] = {
            "timeout": timeout,
            "trust_env": True,  # for .netrc; the proxy is chosen by the request
            "request_class": ProxiedRequest,
        }
    with _translated(name, url):
        return kind(**kind._get_kwargs_from_urls(url), **options), kind._strip_protocol(url)


def local_path(url: str) -> str | None:
    """Return the path of a ``file://`` URL; None for any other source."""
    if not url.lower().startswith("file://"):
        return None
    host, slash, path = re.split("[?#]", url[len("file://") :], maxsplit=1)[0].partition("/")
    return os.fsdecode(unquote_to_bytes(slash + path)) if host in ("", "localhost") else None


@contextlib.contextmanager
def _translated(name: str, url: str) -> Iterator[None]:
    """Translate the exceptions of the packages into errors of the manifest, without secrets of the URL.

    Each package raises exceptions of its own and of its client, so all are caught here.
    """
    try:
        yield
    except (ManifestError, SettingsError):
        raise
    except Exception as exc:
        raise Unread(name, _words(exc, url)) from None


def _words(exc: BaseException, url: str) -> str:
    if isinstance(exc, FileNotFoundError) and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__  # some packages raise it for every failure
    status = getattr(exc, "status", None)
    if said := _words_on_the_way(exc):
        return said
    match exc:
        case FileNotFoundError():
            return "there is no such file"
        case IsADirectoryError():
            return "this is a folder. Name its files, or a pattern such as *.csv in it"
        case PermissionError():
            return "may not be read with the credentials given. Check them, and that they have not expired"
        case TimeoutError():
            return "its server did not answer in time. Try again later"
        case _ if status in (401, 403):
            return f"may not be read (HTTP {status}). Check the credentials, or whether the URL has expired"
        case _ if status == 404:
            return "there is no such file"
        case _ if isinstance(status, int) and status:
            return f"its server answered with HTTP {status}"
        case _ if type(exc).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            return "no credentials were found. Set those that its package reads"
        case _ if type(exc).__name__ in (
            "ClientPayloadError",
            "ResponseStreamingError",
            "IncompleteReadError",
        ):
            return "the connection was cut before the end of the file. Try again"
        case _ if type(exc).__name__.startswith("ClientConnector") or isinstance(exc, ConnectionError):
            return f"its server cannot be reached: {_shown_words(str(exc), url)}"
    return f"cannot be read: {_shown_words(str(exc) or type(exc).__name__, url)}"


def _words_on_the_way(exc: BaseException) -> str:
    """Say what a proxy or a redirect did; empty for any other exception."""
    match type(exc).__name__:
        case "ClientHttpProxyError":
            return f"the proxy refused: HTTP {getattr(exc, 'status', '?')}. Check {_PROXIES}"
        case "ClientProxyConnectionError":
            return f"the proxy cannot be reached. Check {_PROXIES}"
        case "TooManyRedirects":
            return "its server redirects in a circle, or too often. Use the URL that the file itself has"
        case "NonHttpUrlRedirectClientError":
            scheme = shown(str(next(iter(exc.args), "")).partition(":")[0], limit=20)
            return (
                f"its server redirects to {scheme}://, and only https is followed. Use the https URL of the "
                "file itself, or copy it here first"
            )
        case "InvalidUrlRedirectClientError":
            return "its server redirects to something that is not a URL. Use the URL that the file itself has"
    return ""


def _shown_words(text: str, url: str) -> str:
    """The message of a package, without secrets of any URL."""
    return shown(redacted_urls(text.replace(url, redacted(url))), limit=160)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
