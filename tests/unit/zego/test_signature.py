"""The signature of a call."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest
from yarl import URL

from batcher.zego.client import Account, ZegoClient
from batcher.zego.signature import SIGNATURE_VERSION, signature

SECRET = "9193cc662a4c0ec135ec71fb57194b38"  # noqa: S105 - a published example, not a real secret
NONCE = "4fd24687296dd9f3"


def test_published_example_has_published_signature() -> None:
    """The documentation's example yields the signature printed next to it."""
    assert signature(12345, NONCE, SECRET, 1615186943) == "43e5cfcca828314675f91b001390566a"


def test_change_of_any_part_changes_signature() -> None:
    """Each of the four parts affects the signature."""
    signed = [
        signature(12345, NONCE, SECRET, 1615186943),
        signature(12346, NONCE, SECRET, 1615186943),
        signature(12345, NONCE[::-1], SECRET, 1615186943),
        signature(12345, NONCE, SECRET[::-1], 1615186943),
        signature(12345, NONCE, SECRET, 1615186944),
    ]
    assert len(signed) == len(set(signed))


async def public_parameters(clock_s: float, *, is_test: bool | None = None) -> list[dict[str, str]]:
    """The public parameters of a thousand calls."""
    client = ZegoClient(
        "https://rtc-api.zego.im/",
        Account(12345, SECRET, is_test),
        timeout_s=1,
        connections=1,
        clock=lambda: clock_s,
    )
    async with client:
        return [dict(parse_qsl(client._public(), strict_parsing=True)) for _ in range(1000)]


async def test_nonce_is_16_hex_digits_and_unique() -> None:
    """Each call has a nonce of the documented form that no other call has."""
    nonces = [parameters["SignatureNonce"] for parameters in await public_parameters(1615186943.9)]
    assert [nonce for nonce in nonces if not re.fullmatch("[0-9a-f]{16}", nonce)] == []
    assert len(nonces) == len(set(nonces))


@pytest.mark.parametrize(("is_test", "expected"), [(None, None), (True, "true"), (False, "false")])
async def test_public_parameters_are_documented_ones(is_test: bool | None, expected: str | None) -> None:
    """A call has the account, whole Unix seconds, its signature, and IsTest only if set."""
    parameters = (await public_parameters(1615186943.9, is_test=is_test))[0]
    nonce = parameters.pop("SignatureNonce")
    assert {
        "AppId": "12345",
        "Timestamp": "1615186943",
        "Signature": signature(12345, nonce, SECRET, 1615186943),
        "SignatureVersion": SIGNATURE_VERSION,
    } | ({} if expected is None else {"IsTest": expected}) == parameters
    assert SIGNATURE_VERSION == "2.0"


def test_account_repr_has_no_secret() -> None:
    """An account's repr does not contain the secret."""
    assert SECRET not in repr(Account(12345, SECRET))


def test_http_library_sends_query_unchanged() -> None:
    """The escaped query string is sent as it is."""
    url = URL("https://rtc-api.zego.im/?ExtTimeOffsetSet%5B%5D=1&FileId=a%2Bb", encoded=True)
    assert parse_qsl(url.raw_query_string) == [("ExtTimeOffsetSet[]", "1"), ("FileId", "a+b")]
