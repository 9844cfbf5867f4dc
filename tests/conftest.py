"""Fixtures of the integration and crash tests: the command line as a process, manifests, and the referee.

The command line runs as a user would run it: another process, an environment without anything of ours, a
folder of its own. In every test no output may hold a traceback or the ServerSecret, and
no file left behind may hold the secret either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import hypothesis
import pytest
from support.cli import Cli, _holding, write_manifest

pytest_plugins = ["support.postgres_session"]


@pytest.fixture
async def cli(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cli]:
    """The command line in ``tmp_path``; afterwards no file there holds the secret."""
    marker = request.node.get_closest_marker("speed")
    command = Cli(tmp_path, speed=marker.args[0] if marker else 1.0)
    yield command
    await command.end_all()
    assert _holding(tmp_path, command.secret) == []


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest of file ids alone into the folder of the command line."""

    def write(ids: Iterable[str], name: str = "archive.csv") -> Path:
        return write_manifest(tmp_path / name, ([one] for one in ids))

    return write


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the proofs that can be long are."""
    parser.addoption("--kill-rounds", type=int, default=30, help="rounds of the kill loop")
    parser.addoption("--histories", type=int, default=6, help="how many histories are made up")
    parser.addoption("--share-steps", type=int, default=1000, help="steps of runs that share a limit")
    parser.addoption("--chaos-faults", type=int, default=6, help="faults over runs that share a ledger")
    parser.addoption("--chaos-seed", type=int, help="draw the faults of an earlier chaos again")
    parser.addoption("--soak-rows", type=int, default=500, help="recordings of the soak")
    parser.addoption(
        "--every-step", action="store_true", help="let every step of the ledger fail in every way"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set what hypothesis makes up: the same examples in every run of the suite, others in a long proof.

    How long an example takes says how busy the machine is, and fails nothing.
    """
    wanted = config.getoption("--histories")
    hypothesis.settings.register_profile("histories", max_examples=wanted, derandomize=wanted <= 6)
    hypothesis.settings.register_profile(
        "suite",
        max_examples=50 if wanted <= 6 else 500,
        derandomize=wanted <= 6,
        database=None,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("suite")
    steps = config.getoption("--share-steps")
    hypothesis.settings.register_profile(
        "shares",
        max_examples=max(1, steps // 50),
        stateful_step_count=50,
        derandomize=steps <= 1000,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )


@pytest.fixture
def soak_rows(request: pytest.FixtureRequest) -> int:
    """How many recordings the soak has."""
    return int(request.config.getoption("--soak-rows"))


@pytest.fixture
def chaos_faults(request: pytest.FixtureRequest) -> int:
    """How many faults hit runs that share a ledger."""
    return int(request.config.getoption("--chaos-faults"))


@pytest.fixture
def chaos_seed(request: pytest.FixtureRequest) -> int | None:
    """The seed of the chaos; None for one of its own."""
    seed = request.config.getoption("--chaos-seed")
    return None if seed is None else int(seed)


@pytest.fixture
def kill_rounds(request: pytest.FixtureRequest) -> int:
    """How often the kill loop kills."""
    return int(request.config.getoption("--kill-rounds"))


@pytest.fixture
def every_step(request: pytest.FixtureRequest) -> bool:
    """Whether every step of the ledger fails in every way, or each in one."""
    return bool(request.config.getoption("--every-step"))
