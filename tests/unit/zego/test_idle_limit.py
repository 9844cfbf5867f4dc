"""The learned limit for idle connections, with a clock in the test's hand."""

from __future__ import annotations

import pytest

from batcher.zego.idle_limit import IDLE_S, KEEPALIVE_S, NO_TIME_S, REGAIN_S, SAFE_SHARE, IdleLimit


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_new_limit_is_the_longest() -> None:
    """Without anything learned, a connection may be idle for the longest time."""
    assert IdleLimit(Clock()).longest_s == KEEPALIVE_S


@pytest.mark.parametrize(
    ("idle_s", "expected"),
    [
        (1.0, SAFE_SHARE),
        (IDLE_S, IDLE_S * SAFE_SHARE),
        (IDLE_S / 2, NO_TIME_S),
        (KEEPALIVE_S, KEEPALIVE_S),
        (60.0, KEEPALIVE_S),
    ],
)
def test_closed_idle_connection_teaches_half_of_its_time(idle_s: float, expected: float) -> None:
    """Half of the server's limit is used; a server that closes immediately keeps no idle connections."""
    limit = IdleLimit(Clock())
    limit.server_closed(idle_s)
    assert limit.longest_s == expected


@pytest.mark.parametrize(
    ("idle_s", "expected"), [(None, KEEPALIVE_S), (IDLE_S / 2, KEEPALIVE_S), (2.0, 1.0), (60.0, KEEPALIVE_S)]
)
def test_lost_answer_on_idle_connection_lowers_the_limit(idle_s: float | None, expected: float) -> None:
    """A lost answer teaches only if its connection had been idle for some time."""
    limit = IdleLimit(Clock())
    limit.answer_lost(idle_s)
    assert limit.longest_s == expected


def test_learned_limit_rises_only_with_time() -> None:
    """A longer time does not raise the limit; the passing of time does, up to the longest."""
    clock = Clock()
    limit = IdleLimit(clock)
    limit.server_closed(0.5)
    limit.server_closed(3.0)
    assert limit.longest_s == 0.25
    clock.now_s += 2 * REGAIN_S
    assert limit.longest_s == pytest.approx(1.0)
    clock.now_s += 100 * REGAIN_S
    assert limit.longest_s == KEEPALIVE_S


def test_forbidden_reuse_lasts() -> None:
    """A server that sends data without a request never gets an idle connection used again."""
    clock = Clock()
    limit = IdleLimit(clock)
    limit.forbid()
    clock.now_s += 1000 * REGAIN_S
    assert limit.longest_s == 0.0
