"""What the service's return codes mean and what a person can do about them.

Only meanings stand here; what batcher does about a code stands in :mod:`batcher.disposition`.

Source: ZEGO server API, "Start a snapshot task", return codes; "Accessing server APIs", global return codes.
"""

from __future__ import annotations

from batcher.records import Meaning

_SUPPORT = "ask ZEGO technical support, with the RequestId that `batcher show` gives"
_RATE = "nothing: batcher slows down by itself; lower --rate if other programs share the AppId"
_OURS = "this is a defect of batcher's: report it, with the RequestId that `batcher show` gives"
_WAIT = "nothing at once; `batcher retry` sends again what ended failed"

MEANINGS: dict[int, Meaning] = {
    0: Meaning("success", ""),
    1: Meaning("failed, the server may be busy", _WAIT),
    2: Meaning("a parameter is wrong", "compare the row's parameters with what the vendor takes"),
    3: Meaning("the permission is not enabled", "have ZEGO technical support enable the call for this AppId"),
    4: Meaning("the CDN type does not match", "correct the row's vendor: the file is not kept there"),
    5: Meaning("a configuration error at the vendor", _SUPPORT),
    6: Meaning("too frequent", _RATE),
    7: Meaning("authentication failed", "check BATCHER_APP_ID and the ServerSecret"),
    1000: Meaning(
        "the request failed; also what a wrong FileId yields", "check the file id; else " + _SUPPORT
    ),
    41003: Meaning("the file does not exist", "check the file id, and whether the recording was deleted"),
    206: Meaning("call frequency too high", _RATE),
    207: Meaning("call frequency too high", _RATE),
    1010: Meaning("call frequency too high", _RATE),
    5007: Meaning("call frequency too high", _RATE),
    30002: Meaning("call frequency too high", _RATE),
    100000000: Meaning("the host is wrong", "check BATCHER_ENDPOINT"),
    100000001: Meaning("the AppId is malformed", "check BATCHER_APP_ID"),
    100000002: Meaning("the Timestamp is empty", _OURS),
    100000003: Meaning("the Timestamp is malformed", _OURS),
    100000004: Meaning("the signature has expired", "set this machine's clock: it is off by over 10 minutes"),
    100000005: Meaning("the signature is wrong", "check BATCHER_APP_ID and the ServerSecret"),
    100000006: Meaning("the Action is empty", "check BATCHER_ENDPOINT"),
    100000007: Meaning("the Action is unknown", "check BATCHER_ENDPOINT"),
    100000008: Meaning("the nonce is empty", _OURS),
    100000009: Meaning("the signature is empty", _OURS),
    100000010: Meaning("no secret was found for the AppId", "check BATCHER_APP_ID"),
    100000011: Meaning("the AppId's configuration was not found", "check BATCHER_APP_ID; else " + _SUPPORT),
    100000012: Meaning("the body could not be read", _WAIT),
    100000013: Meaning("the SignatureVersion is empty", _OURS),
    100000014: Meaning("the SignatureVersion is unsupported", _OURS),
    100000015: Meaning("an error inside the gateway", _WAIT),
    100000016: Meaning(
        "there is no production environment", "check BATCHER_IS_TEST: the project may be on test"
    ),
    100000017: Meaning("the service is not enabled", "have ZEGO technical support enable it for this AppId"),
}

UNKNOWN = Meaning("not in the documentation", _SUPPORT)


def meaning(code: int) -> Meaning:
    """What a code means; :data:`UNKNOWN` for one that the documentation does not name."""
    return MEANINGS.get(code, UNKNOWN)
