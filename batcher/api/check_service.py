"""The check of the service: name, connection, certificate, clock, and the call that proves the credentials.

Called by programs and by ``batcher check``. Makes one signed call that starts no task, and repeats it only
if the service is busy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from batcher.api.check import SERVICE_CHECKS
from batcher.config import defaults
from batcher.errors import SettingsError
from batcher.flowcontrol.findings import OBSTACLE_REMEDIES, obstacle_of, remedy_of
from batcher.flowcontrol.machine_limit import LIMIT_PER_S, Action, LimitKey, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.retry_policy import CodeKind, kind_of
from batcher.flowcontrol.sliding_window import Turn
from batcher.model.check import CheckFinding, CheckLevel, fail, ok, skip, warn
from batcher.model.outcome import Answer, HttpRefusal, NotSent, Obstacle, Outcome, ReplyLost
from batcher.model.proxy import Proxy
from batcher.report.formatting import duration
from batcher.zego.client import SIGNATURE_EXPIRED, Account, CallTrace, Leg, ZegoClient
from batcher.zego.codes import meaning

NO_ACCOUNT = Account(1, "none")
"""The account of a call without credentials: its refusal has a date, which shows the clock of the service."""

NAME_TIMEOUT_S = 10.0

CALLS = 3
"""The number of calls that are made if the service is busy."""

PAUSE_S = 1.1
"""The pause between calls: the service counts by the second."""

CLOCK_LIMIT_S = 600
"""The largest accepted error of a timestamp. Source: ZEGO server API, "Accessing server APIs"."""

CLOCK_WARNING_S = 60

EXPIRES_SOON_DAYS = 14

_NOT_WELL = "the endpoint could not be reached"


async def check_service(
    account: Account | None, *, endpoint: str = defaults.ENDPOINT, timeout_s: float = defaults.TIMEOUT_S
) -> list[CheckFinding]:
    """Check name, connection, certificate, clock and credentials.

    Args:
        account: the account; None leaves the credentials unchecked.
        endpoint: the service's URL.
        timeout_s: how long one call may take.
    """
    try:
        client = ZegoClient(endpoint, account or NO_ACCOUNT, timeout_s=timeout_s, connections=1)
    except SettingsError as exc:
        problems = [fail("proxy", line) for line in exc.lines]
        return [*problems, *(skip(about, _NOT_WELL) for about in SERVICE_CHECKS)]
    async with client:
        name = await _look_up(endpoint, client.proxy)
        if name.level is CheckLevel.FAIL:
            return [name, *(skip(about, _NOT_WELL) for about in ("connection", "TLS", "clock", "call"))]
        seen, may_leave = CallTrace(), _counted(endpoint, account)
        outcome = await client.probe(may_leave, seen=seen)
        findings = [
            name,
            connection_finding(endpoint, client.proxy, seen, outcome),
            tls_finding(endpoint, client.proxy, seen, outcome, time.time()),
            clock_finding(seen),
        ]
        if account is None:
            return [*findings, skip("call", "it needs the AppId and the ServerSecret")]
        if seen.ended_at not in (None, Leg.ANSWER):
            return [*findings, skip("call", _NOT_WELL)]
        for _ in range(1, CALLS):
            if isinstance(outcome, Answer) and outcome.clock_corrected:
                outcome = await client.probe(may_leave)  # signed by the service's clock now
            if not _is_busy(outcome):
                break
            await asyncio.sleep(PAUSE_S)
            outcome = await client.probe(may_leave)
        return [*findings, call_finding(outcome)]


def _counted(endpoint: str, account: Account | None) -> Callable[[], Awaitable[bool]] | None:
    """Wait for a place within the limit that runs on this machine share; None without an account."""
    if account is None:
        return None
    key = LimitKey.of(account.app_id, Action.SUBMIT, endpoint)
    pacer = Pacer(LIMIT_PER_S, time.monotonic, window=window_for(key, LIMIT_PER_S))
    return lambda: pacer.leave(Turn(alone=True))


async def _look_up(endpoint: str, proxy: Proxy | None) -> CheckFinding:
    """Look up the name of the host, or of the proxy, which looks up that of the host."""
    parts = urlsplit(endpoint)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if proxy is not None:
        host, port = proxy.host, proxy.port
    if proxy is None and parts.scheme == "http":
        return ok("DNS", f"not used: {host} is this machine", used=False)
    try:
        async with asyncio.timeout(NAME_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        problem = f"no answer within {NAME_TIMEOUT_S:g} s"
    except (OSError, UnicodeError) as exc:
        problem = getattr(exc, "strerror", None) or "this is no name"
    else:
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        text = f"{host}: {', '.join(addresses)}"
        if addresses == [host]:
            text = f"not used: {host} is an address"
        if proxy is not None:
            text += f" (the proxy; it looks up {parts.hostname} itself)"
        return ok("DNS", text, used=addresses != [host], host=host, addresses=addresses)
    named = proxy.source if proxy else "BATCHER_ENDPOINT"
    return fail("DNS", f"{host}: {problem}", f"check {named} and how this machine looks up names", host=host)


def connection_finding(endpoint: str, proxy: Proxy | None, seen: CallTrace, outcome: Outcome) -> CheckFinding:
    """Report whether a connection was made."""
    to = urlsplit(endpoint).netloc
    through = f" through the proxy {proxy.text} ({proxy.source})" if proxy else ""
    facts: dict[str, object] = {
        "proxy": proxy.text if proxy else None,
        "proxy_from": proxy.source if proxy else None,
    }
    if seen.ended_at in (Leg.CONNECTION, Leg.PROXY, Leg.NAME):
        remedy = "check BATCHER_ENDPOINT, the firewall, and whether a proxy must be set (HTTPS_PROXY)"
        if obstacle := obstacle_of(outcome):
            remedy = OBSTACLE_REMEDIES[obstacle]
        elif proxy:
            remedy = f"check {proxy.source} and whether the proxy lets this machine pass"
        where = to if proxy and proxy.named in _detail(outcome) else f"{to}{through}"
        return fail("connection", f"{where}: {_detail(outcome)}", remedy, **facts)
    if seen.address is not None:
        facts["address"] = seen.address
    at = f" at {seen.address}" if seen.address and not proxy else ""
    return ok("connection", f"{to}{at}{through}", **facts)


def tls_finding(
    endpoint: str, proxy: Proxy | None, seen: CallTrace, outcome: Outcome, now: float
) -> CheckFinding:
    """Report whether the certificate is valid, and for how long."""
    if urlsplit(endpoint).scheme == "http":
        return ok("TLS", "not used: plain http to this machine", used=False)
    through = ", seen through the proxy" if proxy else ""
    if seen.ended_at is Leg.TLS:
        return fail("TLS", _detail(outcome) + through, OBSTACLE_REMEDIES[Obstacle.CERTIFICATE])
    if not seen.certificate:
        return skip("TLS", _NOT_WELL)
    return _certificate_finding(seen.certificate, through, now)


def _certificate_finding(certificate: Mapping[str, Any], through: str, now: float) -> CheckFinding:
    subject = _name_in(certificate.get("subject", ())) or ", ".join(
        str(name) for _, name in certificate.get("subjectAltName", ())
    )
    issuer = _name_in(certificate.get("issuer", ())) or "an authority without a name"
    expires = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((expires - now) // 86400)
    until = datetime.fromtimestamp(expires, UTC)
    text = f"verified: {subject}, signed by {issuer}, until {until:%Y-%m-%d} ({days:,} days)"
    text += through
    facts = {"subject": subject, "issuer": issuer, "expires_at": until.isoformat(), "days_left": days}
    if days < EXPIRES_SOON_DAYS:
        return warn(
            "TLS", text, "the certificate expires soon: the operator of the endpoint must renew it", **facts
        )
    return ok("TLS", text, **facts)


def _name_in(names: object) -> str:
    """The common name, or the organization, in the form in which certificates state names."""
    pairs = dict(_pairs(names))
    common, organization = pairs.get("commonName", ""), pairs.get("organizationName", "")
    return f"{common} ({organization})" if common and organization else common or organization


def _pairs(names: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - as the ssl module returns it
    for part in names:
        for key, value in part:
            yield str(key), str(value)


def clock_ahead_s(sent_at: float, answered_at: float, server_time: float) -> float:
    """Return how far our clock is ahead of the service's; 0 if the two may agree.

    The service dated its answer between the two moments, in whole seconds, so that a smaller difference
    cannot be seen.
    """
    least, most = sent_at - (server_time + 1), answered_at - server_time
    return 0.0 if least <= 0 <= most else (least + most) / 2


def clock_finding(seen: CallTrace) -> CheckFinding:
    """Compare this machine's clock with the service's."""
    if seen.ended_at is not None and seen.server_time is None:
        return skip("clock", _NOT_WELL)
    if seen.server_time is None or seen.sent_at is None or seen.answered_at is None:
        return warn("clock", "the answer has no readable Date", "check this machine's clock yourself")
    ahead = clock_ahead_s(seen.sent_at, seen.answered_at, seen.server_time)
    if not ahead:
        return ok("clock", "within 1 s of the service's", ahead_s=0)
    off = max(round(abs(ahead)), 1)
    text = f"our clock is {off} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    facts = {"ahead_s": off if ahead > 0 else -off}
    if off <= CLOCK_WARNING_S:
        return ok("clock", f"{text}; up to {CLOCK_LIMIT_S} s is accepted", **facts)
    if off > 120:
        text += f" ({duration(off)})"
    if off <= CLOCK_LIMIT_S:
        return warn(
            "clock", f"{text}; up to {CLOCK_LIMIT_S} s is accepted", "set this machine's clock", **facts
        )
    remedy = "set this machine's clock; until then runs sign by the service's, but record wrong times"
    return warn("clock", f"{text}, and only {CLOCK_LIMIT_S} s is accepted", remedy, **facts)


def call_finding(outcome: Outcome) -> CheckFinding:
    """Report what the call proves about the credentials."""
    match outcome:
        case Answer(code=2):
            return ok(
                "call", "code 2, as it should be: the credentials are good; no task was started", code=2
            )
        case Answer(code=code) if code == SIGNATURE_EXPIRED:
            return fail(
                "call",
                _coded(code),
                "set this machine's clock: signing by the service's did not help",
                code=code,
            )
        case Answer(code=0):
            return fail(
                "call",
                "code 0 to a call without a FileId",
                "check BATCHER_ENDPOINT: this is not the API",
                code=0,
            )
        case Answer(code=code) if kind_of(code) is CodeKind.SLOW_DOWN:
            remedy = "other programs use up the AppId's rate; check again when they pause"
            return fail("call", f"{_coded(code)}, {CALLS} times: nothing is proven", remedy, code=code)
        case Answer(code=code):
            return fail("call", _coded(code), remedy_of(outcome, meaning(code)), code=code)
        case HttpRefusal() | ReplyLost() | NotSent():
            status = getattr(outcome, "http_status", None)
            remedy = "check BATCHER_ENDPOINT; else try again: the service may be down"
            return fail("call", outcome.detail, remedy, http_status=status)


def _is_busy(outcome: Outcome) -> bool:
    if isinstance(outcome, Answer):
        return kind_of(outcome.code) in (CodeKind.SLOW_DOWN, CodeKind.BUSY)
    return isinstance(outcome, HttpRefusal) and outcome.http_status in (429, 503)


def _coded(code: int) -> str:
    return f"code {code} ({meaning(code).text})"


def _detail(outcome: Outcome) -> str:
    return getattr(outcome, "detail", "") or "no connection"
