"""Exceptions of aiohttp and the system as outcomes: was anything sent, and what went wrong.

Called by :mod:`batcher.zego.transport`; :mod:`batcher.fetch.http_source` uses the words. This is the only
place where the exceptions of the HTTP library become words. An exception's own text may hold the signed
URL, so it must never be used: the words are the system's, or the exception's class name.
"""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp

from batcher.model.outcome import NotSent, Obstacle, Outcome, ReplyLost
from batcher.zego.call_trace import Leg, Wire


class Unanswered(Exception):
    """A request that left and got no answer.

    Raised in place of an exception on which aiohttp repeats a GET.
    """


def without_answer(exc: Exception, on_wire: Wire, status: int | None) -> Outcome:
    """Return the outcome of a call that ended with an exception.

    Args:
        exc: the exception.
        on_wire: the request.
        status: the HTTP status, if the head of the answer had arrived.
    """
    if on_wire.sent_at is None:
        return NotSent(words(exc), obstacle_of(exc))
    if status is not None:
        return ReplyLost(f"the answer was cut off: {words(exc)}", status)
    return ReplyLost(f"no answer came: {words(exc)}")


def leg_of(exc: Exception, on_wire: Wire) -> Leg:
    """Return the part of the way on which a call ended."""
    if on_wire.sent_at is not None:
        return Leg.ANSWER
    if isinstance(exc, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return Leg.NAME
    if isinstance(exc, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return Leg.PROXY
    if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError):
        return Leg.TLS
    return Leg.CONNECTION


def obstacle_of(exc: BaseException) -> Obstacle | None:
    """Return the obstacle that an exception shows; None if the connection may be made a while later."""
    match exc:
        case aiohttp.ClientHttpProxyError(status=407):
            return Obstacle.PROXY_LOGIN
        case aiohttp.ClientHttpProxyError(status=401 | 403 | 451):
            return Obstacle.PROXY_DENIAL
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return Obstacle.CERTIFICATE
    return None


def words(exc: BaseException) -> str:
    """Return an exception in words that cannot hold a URL or a secret."""
    match exc:
        case Unanswered():
            return str(exc)
        case aiohttp.ConnectionTimeoutError():
            return "timed out while connecting"
        case TimeoutError():
            return "timed out"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return _tls_words(exc)
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "the host's name was not found"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused: HTTP {exc.status}"
        case ssl.SSLError():
            return f"TLS failed: {exc.reason}" if getattr(exc, "reason", None) else "TLS failed"
        case OSError() if exc.errno:
            return os.strerror(exc.errno)
    return type(exc).__name__


def _tls_words(exc: BaseException) -> str:
    reason = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None)
    detail = getattr(reason, "verify_message", "") or getattr(reason, "reason", "") or ""
    return f"TLS failed: {detail}".rstrip(": ")
