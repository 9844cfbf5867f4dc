"""Settings of a run validate themselves, and name parameters."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from batcher.errors import SettingsError
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.model.account import Account
from batcher.submit.settings import MaxFailures, RunSettings

ACCOUNT = Account(12345, "9193cc662a4c0ec135ec71fb57194b38")


@pytest.mark.parametrize(
    "values",
    [
        {"rate_per_s": 0},
        {"rate_per_s": 1_000_001},
        {"rate_per_s": math.nan},
        {"concurrency": 0},
        {"concurrency": 10_001},
        {"limit": 0},
        {"lasts_s": 0.0},
        {"lasts_s": math.inf},
        {"grace_s": -1.0},
        {"grace_s": math.inf},
        {"until": datetime(2026, 3, 4, 5, 30)},  # noqa: DTZ001 - what is refused
    ],
)
def test_run_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    """The message names the parameter and what it may be."""
    with pytest.raises(SettingsError, match=f"^{next(iter(values))} .*: give "):
        RunSettings(**values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rate_per_s": 0.001, "concurrency": 1, "limit": 1, "lasts_s": 0.5, "grace_s": 0.0},
        {"rate_per_s": 1_000_000, "concurrency": 10_000, "until": datetime(2026, 3, 4, tzinfo=UTC)},
    ],
)
def test_run_settings_within_range_are_accepted(values: dict[str, Any]) -> None:
    """The bounds are those of the command line's options."""
    RunSettings(**values)


@pytest.mark.parametrize(
    "values", [{"number": 0}, {"share": 0.0}, {"share": 1.5}, {"number": 1, "share": 0.5}]
)
def test_max_failures_out_of_range_are_refused(values: dict[str, Any]) -> None:
    """A number or a share, not both."""
    with pytest.raises(SettingsError):
        MaxFailures(**values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("off", MaxFailures()),
        ("50%", MaxFailures(share=0.5)),
        ("100%", MaxFailures(share=1.0)),
        ("7", MaxFailures(7)),
    ],
)
def test_max_failures_are_read_from_an_option(text: str, expected: MaxFailures) -> None:
    """``N``, ``P%`` and ``off``."""
    assert MaxFailures.parse(text) == expected


@pytest.mark.parametrize(
    ("app_id", "secret", "names"),
    [
        (0, "secret", ["app_id"]),
        (2**32, "secret", ["app_id"]),
        (True, "secret", ["app_id"]),
        (1, "", ["server_secret"]),
        (1, "two words", ["server_secret"]),
        (1, "'quoted'", ["server_secret"]),
        (-1, "clé", ["app_id", "server_secret"]),
    ],
)
def test_account_that_cannot_be_one_is_refused(app_id: int, secret: str, names: list[str]) -> None:
    """Every parameter that is wrong is named, and no secret is shown."""
    with pytest.raises(SettingsError) as raised:
        Account(app_id, secret)
    assert [line.partition(":")[0] for line in raised.value.lines] == names
    assert not secret or secret not in str(raised.value)


def test_account_takes_blanks_off_its_secret() -> None:
    """A secret that was pasted with a line end is the same secret."""
    assert Account(1, " secret\n") == Account(1, "secret")


@pytest.mark.parametrize(
    ("endpoint", "timeout_s", "names"),
    [
        ("http://example.com/", 30.0, ["endpoint"]),
        ("nonsense", 30.0, ["endpoint"]),
        ("https://rtc-api.zego.im/", 0.0, ["timeout_s"]),
        ("nonsense", math.inf, ["endpoint", "timeout_s"]),
    ],
)
def test_service_that_cannot_be_called_is_refused(endpoint: str, timeout_s: float, names: list[str]) -> None:
    """Endpoint and timeout are named, whichever is wrong."""
    with pytest.raises(SettingsError) as raised:
        ServiceAccess(ACCOUNT, endpoint, timeout_s)
    assert [line.split()[0].rstrip(":") for line in raised.value.lines] == names


def test_service_gets_the_path_of_its_endpoint() -> None:
    """A URL without a path is the same endpoint as one with it."""
    assert ServiceAccess(ACCOUNT, "https://rtc-api.zego.im").endpoint == "https://rtc-api.zego.im/"
