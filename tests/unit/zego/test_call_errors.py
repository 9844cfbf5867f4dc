"""Exceptions of the HTTP library as outcomes: was anything sent, in words without secrets."""

from __future__ import annotations

import inspect
import socket
import ssl
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
from aiohttp import client_exceptions
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from batcher.model.outcome import NotSent, Obstacle, ReplyLost
from batcher.zego.call_errors import Unanswered, without_answer
from batcher.zego.call_errors import words as translate
from batcher.zego.call_trace import Wire

SECRET = "9193cc662a4c0ec135ec71fb57194b38"  # noqa: S105 - a published example, not a real secret
SIGNED = f"https://rtc-api.zego.im/?Action=MediaThumbnails&Signature=43e5cfcc&Secret={SECRET}"
AWKWARD = f"{SIGNED} {SECRET}"

KEY = ConnectionKey("rtc-api.zego.im", 443, True, True, URL(SIGNED), None, None)
INFO = cast(aiohttp.RequestInfo, SimpleNamespace(url=URL(SIGNED), real_url=URL(SIGNED), method="GET"))
REFUSED = ConnectionRefusedError(111, "Connection refused")
NO_CERTIFICATE = ssl.SSLCertVerificationError(1, AWKWARD)
NO_CERTIFICATE.reason, NO_CERTIFICATE.verify_message = "CERTIFICATE_VERIFY_FAILED", "self-signed certificate"
BAD_TLS = ssl.SSLError(1, AWKWARD)
BAD_TLS.reason = "WRONG_VERSION_NUMBER"

e = client_exceptions

TRANSLATED: list[tuple[Exception, str]] = [
    (e.ClientError(AWKWARD), "ClientError"),
    (e.ClientResponseError(INFO, (), status=400, message=AWKWARD), "the server answered, but not in HTTP"),
    (e.ContentTypeError(INFO, (), status=200, message=AWKWARD), "ContentTypeError"),
    (e.WSServerHandshakeError(INFO, (), status=400, message=AWKWARD), "WSServerHandshakeError"),
    (e.ClientHttpProxyError(INFO, (), status=407, message=AWKWARD), "the proxy refused: HTTP 407"),
    (e.TooManyRedirects(INFO, (), status=302, message=AWKWARD), "TooManyRedirects"),
    (e.ClientConnectionError(AWKWARD), "ClientConnectionError"),
    (e.ClientConnectionResetError(AWKWARD), "ClientConnectionResetError"),
    (e.ClientConnectionResetError("Cannot write to closing transport"), "ClientConnectionResetError"),
    (e.ClientOSError(AWKWARD), "ClientOSError"),
    (e.ClientOSError(104, "Connection reset by peer"), "Connection reset by peer"),
    # This is what the library itself raises when the connection breaks while it writes.
    (e.ClientOSError(32, f"Can not write request body for {SIGNED}"), "Broken pipe"),
    (e.ClientConnectorError(KEY, REFUSED), "Connection refused"),
    (e.ClientConnectorError(KEY, OSError(AWKWARD)), "ClientConnectorError"),
    (e.ClientConnectorDNSError(KEY, socket.gaierror(-2, AWKWARD)), "the host's name was not found"),
    (e.ClientProxyConnectionError(KEY, REFUSED), "the proxy cannot be reached: Connection refused"),
    (e.UnixClientConnectorError(SIGNED, KEY, REFUSED), "Connection refused"),
    (e.ServerConnectionError(AWKWARD), "ServerConnectionError"),
    (e.ServerDisconnectedError(AWKWARD), "the server closed the connection"),
    (e.ServerTimeoutError(AWKWARD), "timed out"),
    (e.ConnectionTimeoutError(f"Connection timeout to host {SIGNED}"), "timed out while connecting"),
    (e.SocketTimeoutError(AWKWARD), "timed out"),
    (
        e.ServerFingerprintMismatch(SECRET.encode(), SIGNED.encode(), SIGNED, 443),
        "ServerFingerprintMismatch",
    ),
    (e.ClientPayloadError(AWKWARD), "ClientPayloadError"),
    *((one(AWKWARD), one.__name__) for one in [getattr(e, "UploadAbortedError", None)] if one),
    (e.InvalidURL(SIGNED, AWKWARD), "InvalidURL"),
    (e.InvalidUrlClientError(SIGNED, AWKWARD), "InvalidUrlClientError"),
    (e.RedirectClientError(AWKWARD), "RedirectClientError"),
    (e.NonHttpUrlClientError(AWKWARD), "NonHttpUrlClientError"),
    (e.InvalidUrlRedirectClientError(SIGNED, AWKWARD), "InvalidUrlRedirectClientError"),
    (e.NonHttpUrlRedirectClientError(AWKWARD), "NonHttpUrlRedirectClientError"),
    (e.ClientSSLError(KEY, REFUSED), "Connection refused"),
    (e.ClientConnectorSSLError(KEY, BAD_TLS), "TLS failed: WRONG_VERSION_NUMBER"),
    (e.ClientConnectorSSLError(KEY, OSError(AWKWARD)), "TLS failed"),
    (e.ClientConnectorCertificateError(KEY, NO_CERTIFICATE), "TLS failed: self-signed certificate"),
    (e.ClientConnectorCertificateError(KEY, ValueError(AWKWARD)), "TLS failed"),
    (Unanswered("the server closed the connection"), "the server closed the connection"),
    (OSError(AWKWARD), "OSError"),
    (OSError(24, "Too many open files"), "Too many open files"),
    (socket.gaierror(-2, "Name or service not known"), "the host's name was not found"),
    (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    (ConnectionResetError(AWKWARD), "ConnectionResetError"),
    (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
    (TimeoutError(AWKWARD), "timed out"),
    (TimeoutError(110, AWKWARD), "timed out"),
    (TimeoutError(), "timed out"),
    (BAD_TLS, "TLS failed: WRONG_VERSION_NUMBER"),
    (NO_CERTIFICATE, "TLS failed: CERTIFICATE_VERIFY_FAILED"),
    (ssl.SSLError(AWKWARD), "TLS failed"),
]

CASES = [pytest.param(exc, words, id=f"{type(exc).__name__}-{words}") for exc, words in TRANSLATED]


def test_every_exception_of_http_library_has_words() -> None:
    """The library has no exception that is missing in the table above."""
    classes = {
        one
        for one in vars(client_exceptions).values()
        if inspect.isclass(one) and issubclass(one, aiohttp.ClientError)
    }
    assert set() == classes - {type(exc) for exc, _ in TRANSLATED}


@pytest.mark.parametrize(("exc", "words"), CASES)
def test_exception_has_its_words(exc: Exception, words: str) -> None:
    """Each exception has its words: the system's, or its class."""
    assert words == translate(exc)


@pytest.mark.parametrize(("exc", "words"), CASES)
def test_exception_before_first_byte_means_not_sent(exc: Exception, words: str) -> None:
    """The request may be sent again without a doubt."""
    outcome = without_answer(exc, Wire(), None)
    assert isinstance(outcome, NotSent)
    assert outcome.detail
    assert [leak for leak in ("://", "Signature=", SECRET, "zego.im") if leak in outcome.detail] == [], words


@pytest.mark.parametrize("status", [None, 200])
@pytest.mark.parametrize(("exc", "words"), CASES)
def test_exception_after_first_byte_means_lost_answer(exc: Exception, words: str, status: int | None) -> None:
    """The submission is in doubt, and the HTTP status is kept if there was one."""
    outcome = without_answer(exc, Wire(sent_at=1.0), status)
    assert isinstance(outcome, ReplyLost)
    assert status == outcome.http_status
    assert ("cut off" if status else "no answer") in outcome.detail
    assert [leak for leak in ("://", "Signature=", SECRET, "zego.im") if leak in outcome.detail] == [], words


@pytest.mark.parametrize(
    ("exc", "obstacle"),
    [
        *(
            (e.ClientHttpProxyError(INFO, (), status=status), obstacle)
            for status, obstacle in (
                (407, Obstacle.PROXY_LOGIN),
                (401, Obstacle.PROXY_DENIAL),
                (403, Obstacle.PROXY_DENIAL),
                (451, Obstacle.PROXY_DENIAL),
                (502, None),
                (504, None),
            )
        ),
        (e.ClientConnectorCertificateError(KEY, NO_CERTIFICATE), Obstacle.CERTIFICATE),
        (NO_CERTIFICATE, Obstacle.CERTIFICATE),
        (e.ClientConnectorSSLError(KEY, BAD_TLS), None),
        (e.ClientConnectorError(KEY, REFUSED), None),
        (e.ClientConnectorDNSError(KEY, socket.gaierror(-2, "x")), None),
        (TimeoutError(), None),
    ],
)
def test_obstacle_is_what_waiting_does_not_remove(exc: Exception, obstacle: Obstacle | None) -> None:
    """A proxy that wants a login or denies, and a certificate that is not accepted."""
    outcome = without_answer(exc, Wire(), None)
    assert isinstance(outcome, NotSent)
    assert outcome.obstacle is obstacle
