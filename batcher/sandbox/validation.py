"""The documented rules of a call: the refusals of the gateway and of MediaThumbnails. Pure.

`service` applies these functions to each call, the gateway's first.

The documents list the codes but not the order of the checks. It is as follows; each rule presumes those
above it:

1. `Action` is given (100000006) and known (100000007).
2. `AppId` is a uint32 (100000001) and the project's (100000010).
3. `SignatureNonce` is given (100000008).
4. `Timestamp` is given (100000002), a whole number (100000003), and at most 10 minutes away from the
   service's clock, in either direction (100000004).
5. `SignatureVersion` is given (100000013) and `2.0` (100000014).
6. `Signature` is given (100000009) and correct (100000005). A nonce of another form than 16 hex digits has
   no code of its own and makes a signature wrong.
7. `IsTest` is `true`, in any letter case, or left out, as the project's phase asks (100000016).
8. The rate limit (6), which is `rate_limit`, for each Action separately.
9. The parameters of the Action (2); those of the other Actions are in `search_media` and `task_reports`.

Parameters come in the query of a GET or a POST, or in a POST's body, as a form or as a JSON object. Those
that are repeated have brackets in one page, `ExtTimeOffsetSet[]`, and none in another: both are read.

A nonce that is used twice is not refused: the documents do not say that the service does, and a request
which a client library repeats by itself must appear in the log as what it is, a second task.

Sources: service documentation, "Calling the server APIs" (public parameters), "Global return codes", and
"Start a snapshot task" (MediaThumbnails).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import md5
from urllib.parse import parse_qsl

from .settings import SandboxSettings

MEDIA_THUMBNAILS = "MediaThumbnails"
BY_OFFSET, BY_SAMPLING = "SnapshotByTimeOffset", "SampleSnapshot"
SEARCH_MEDIA, DESCRIBE_TASK = "SearchMedia", "DescribeMediaTask"
ACTIONS = frozenset({MEDIA_THUMBNAILS, SEARCH_MEDIA, DESCRIBE_TASK})
CLOCK_TOLERANCE_S = 600

_APP_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_NONCE = re.compile(r"[0-9a-fA-F]{16}")
_INTEGER = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")
_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Call:
    """The parameters of one request, decoded; a parameter may occur several times."""

    parameters: dict[str, list[str]]
    readable: bool = True
    """False if the body of a POST cannot be read."""

    @classmethod
    def parse(cls, query: str, body: bytes = b"") -> Call:
        """Read a query string, and the body of a POST: a form or a JSON object.

        Form-encoded text: `+` is a space, unreadable bytes become U+FFFD. A parameter of the query outranks
        one of the body.
        """
        text = body.decode("utf-8", "replace").strip()
        given = _json_parameters(text) if text.startswith(("{", "[")) else _form_parameters(text)
        return cls((given or {}) | _form_parameters(query), given is not None)

    def one(self, name: str) -> str:
        """Return the value of a parameter that may occur once; empty if absent.

        Repeated values are joined by commas, which no rule for a single value accepts.
        """
        values = self.parameters.get(name)
        return ",".join(values) if values else ""

    def given(self, name: str) -> str | None:
        """Return the value like `one`, or None if the parameter is absent."""
        return self.one(name) if name in self.parameters else None

    def each(self, name: str) -> list[str]:
        """Return every value of a repeated parameter, named with brackets or without, in order."""
        return [*self.parameters.get(f"{name}[]", ()), *self.parameters.get(name, ())]


def _form_parameters(text: str) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        parameters.setdefault(name, []).append(value)
    return parameters


def _json_parameters(text: str) -> dict[str, list[str]] | None:
    """Read a JSON object of texts, numbers and lists of them; None for anything else."""
    try:
        given = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    listed = {
        name: value if isinstance(value, list) else [value]
        for name, value in given.items()
        if value is not None
    }
    if not all(isinstance(one, str | bool) for values in listed.values() for one in values):
        return None
    return {name: [str(one) for one in values] for name, values in listed.items()}


def gateway_refusal(call: Call, settings: SandboxSettings, now_s: float) -> int | None:
    """Return the code with which the gateway refuses a call at `now_s` (Unix seconds); None if it passes."""
    for code in (
        None if call.readable else 100000012,
        _action_refusal(call.one("Action")),
        _app_id_refusal(call.one("AppId"), settings.app_id),
        None if call.one("SignatureNonce") else 100000008,
        _timestamp_refusal(call.one("Timestamp"), now_s),
        _version_refusal(call.one("SignatureVersion")),
        _signature_refusal(call, settings),
        _phase_refusal(call.given("IsTest"), settings.is_test),
    ):
        if code is not None:
            return code
    return None


def parameter_problem(call: Call) -> str | None:
    """Return what is wrong with the parameters of a MediaThumbnails call; None if they are valid.

    Parameters which have no effect for a vendor or type may be left out, but must not be malformed.
    """
    vendor, file_id, type_ = call.one("Vendor"), call.one("FileId"), call.one("Type")
    interval = call.given("Interval")
    rules = (
        (vendor in ("Tencent", "Huawei"), "Vendor must be Tencent or Huawei"),
        (bool(file_id), "FileId is required"),
        (vendor != "Tencent" or _absent_or(_DIGITS, file_id), "FileId of Tencent must be digits"),
        (file_id.isprintable() and "\ufffd" not in file_id, "FileId must be readable UTF-8 text"),
        (len(call.parameters.get("FileId", ())) == 1, "FileId must be given once"),
        (type_ in (BY_OFFSET, BY_SAMPLING), f"Type must be {BY_OFFSET} or {BY_SAMPLING}"),
        (vendor != "Tencent" or "Definition" in call.parameters, "Definition is required for Tencent"),
        (_absent_or(_INTEGER, call.given("Definition")), "Definition must be a whole number"),
        (
            type_ != BY_OFFSET or bool(call.each("ExtTimeOffsetSet")),
            f"ExtTimeOffsetSet[] is required for {BY_OFFSET}",
        ),
        (all(map(_NUMBER.fullmatch, call.each("ExtTimeOffsetSet"))), "ExtTimeOffsetSet[] must be numbers"),
        (vendor != "Huawei" or "Interval" in call.parameters, "Interval is required for Huawei"),
        (_absent_or(_NUMBER, interval), "Interval must be a number"),
        (interval is None or bool(interval.strip("0.")), "Interval must be above 0"),
    )
    return next((problem for holds, problem in rules if not holds), None)


def _absent_or(form: re.Pattern[str], value: str | None) -> bool:
    return value is None or form.fullmatch(value) is not None


def _action_refusal(action: str) -> int | None:
    if not action:
        return 100000006
    return None if action in ACTIONS else 100000007


def _app_id_refusal(text: str, app_id: int) -> int | None:
    if not _APP_ID.fullmatch(text) or int(text) >= 2**32:
        return 100000001
    return None if int(text) == app_id else 100000010


def _timestamp_refusal(text: str, now_s: float) -> int | None:
    if not text:
        return 100000002
    if not _INTEGER.fullmatch(text):
        return 100000003
    # The service's clock in whole seconds, like the timestamp: exactly 10 minutes is accepted.
    return 100000004 if abs(int(text) - int(now_s)) > CLOCK_TOLERANCE_S else None


def _version_refusal(version: str) -> int | None:
    if not version:
        return 100000013
    return None if version == "2.0" else 100000014


def _signature_refusal(call: Call, settings: SandboxSettings) -> int | None:
    signature, nonce = call.one("Signature"), call.one("SignatureNonce")
    if not signature:
        return 100000009
    if not _NONCE.fullmatch(nonce):
        return 100000005
    signed = f"{settings.app_id}{nonce}{settings.server_secret}{call.one('Timestamp')}"
    right = md5(signed.encode(), usedforsecurity=False).hexdigest()
    return None if signature == right else 100000005


def _phase_refusal(is_test: str | None, project_is_test: bool) -> int | None:
    given = "false" if is_test is None else is_test.lower()
    return None if given == ("true" if project_is_test else "false") else 100000016
