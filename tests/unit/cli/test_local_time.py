"""The zone of local times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batcher.cli.local_time import moment_text, zone_problem


@pytest.mark.parametrize(
    "zone", [None, "", "UTC", "CST-8", "<+08>-8", "EST5EDT,M3.2.0,M11.1.0", "Asia/Here", ":Asia/Here"]
)
def test_zone_that_the_system_has_is_no_problem(tmp_path: Path, zone: str | None) -> None:
    """A rule needs no file; a name needs one."""
    (tmp_path / "Asia").mkdir()
    (tmp_path / "Asia" / "Here").touch()
    assert zone_problem(zone, [str(tmp_path)]) is None


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "Beijing", "/none/such"])
def test_zone_that_the_system_lacks_is_named(tmp_path: Path, zone: str) -> None:
    """The system uses UTC without a word, so the message says so."""
    problem = zone_problem(zone, [str(tmp_path)])
    assert problem is not None
    assert problem.startswith(f"TZ={zone}: this machine has no such time zone, and uses UTC instead. ")


def test_moment_has_its_zone() -> None:
    """Minutes of the offset are shown, too."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC[+-]\d\d:\d\d", moment_text(datetime.now(UTC)))
