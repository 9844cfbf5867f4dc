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
from batcher.model.proxy import Proxy
from batcher.zego.call_trace import Leg, Wire


class Unanswered(Exception):
    """A request that left and got no answer.

    Raised in place of an exception on which aiohttp repeats a GET.
    """


def without_answer(exc: Exception, on_wire: Wire, status: int | None, proxy: Proxy | None = None) -> Outcome:
    """Return the outcome of a call that ended with an exception.

    Args:
        exc: the exception.
        on_wire: the request.
        status: the HTTP status, if the head of the answer had arrived.
        proxy: the one on the way; until the request leaves, an answer is the proxy's.
    """
    if on_wire.sent_at is None:
        return NotSent(words(exc, proxy.named if proxy else None), obstacle_of(exc))
    if status is not None:
        return ReplyLost(f"the answer was cut off: {words(exc)}", status)
    return ReplyLost(f"no answer came: {words(exc)}")


def leg_of(exc: Exception, on_wire: Wire) -> Leg:
    """Return the part of the way on which a call ended."""
    if on_wire.sent_at is not None:
        return Leg.ANSWER
    if isinstance(exc, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return Leg.NAME
    if isinstance(exc, aiohttp.ClientResponseError | aiohttp.ClientProxyConnectionError):
        return Leg.PROXY  # before the request has left, an answer is a proxy's
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


def words(exc: BaseException, proxy: str | None = None) -> str:
    """Return an exception in words that cannot hold a URL or a secret.

    Args:
        exc: the exception.
        proxy: the proxy that was spoken to, if it was one, as the subject of a sentence.
    """
    match exc:
        case aiohttp.ClientHttpProxyError():
            return f"{proxy or 'the proxy'} refused: HTTP {exc.status}"
        case aiohttp.ClientProxyConnectionError():
            return f"{proxy or 'the proxy'} cannot be reached: {words(exc.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return f"{proxy or 'the server'} closed the connection"
        case _ if type(exc) is aiohttp.ClientResponseError:  # its subclasses mean something else
            return f"{proxy or 'the server'} answered, but not in HTTP"
        case TimeoutError() if proxy:
            return f"{proxy}: timed out while connecting"
        case Unanswered():
            return str(exc)
        case aiohttp.ConnectionTimeoutError():
            return "timed out while connecting"
        case TimeoutError():
            return "timed out"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return _tls_words(exc)
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "the host's name was not found"
        case ssl.SSLError():
            return f"TLS failed: {exc.reason}" if getattr(exc, "reason", None) else "TLS failed"
        case OSError() if exc.errno:
            return os.strerror(exc.errno)
    return type(exc).__name__


def _tls_words(exc: BaseException) -> str:
    reason = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None)
    detail = getattr(reason, "verify_message", "") or getattr(reason, "reason", "") or ""
    return f"TLS failed: {detail}".rstrip(": ")
