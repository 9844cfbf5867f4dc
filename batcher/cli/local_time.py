"""The zone of local times: whether ``TZ`` names one, and a moment in it.

Called by commands that take a time of day. The system does not refuse an unknown zone: it uses UTC, and a run
until 05:30 would stop hours late.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from batcher.files import is_file

_BY_RULE = re.compile(r"(<[A-Za-z0-9+-]+>|[A-Za-z]{3,})[+-]?\d.*")
"""A zone that is spelt out, such as ``CST-8``; others are names of files."""


def zone_folders() -> tuple[str, ...]:
    """Return the folders in which the system finds zones by name."""
    from zoneinfo import TZPATH

    given = os.environ.get("TZDIR")
    return (given,) if given else TZPATH


def zone_problem(zone: str | None, folders: Iterable[str]) -> str | None:
    """Return what is wrong with the value of ``TZ``; None for a zone that the system has.

    Args:
        zone: the value; None when it is not set.
        folders: where zones are found by name.
    """
    if not zone:
        return None
    name = zone.removeprefix(":")
    if _BY_RULE.fullmatch(name) or name in ("UTC", "GMT"):
        return None
    if any(is_file(Path(folder) / name) for folder in folders):  # an absolute path stays as it is
        return None
    return (
        f"TZ={zone}: this machine has no such time zone, and uses UTC instead. Correct TZ (Asia/Shanghai, or "
        "CST-8), or install the zones of the system (the package tzdata)"
    )


def moment_text(at: datetime) -> str:
    """Return a moment in local time with its zone: ``2026-12-01 05:30 UTC+08:00``."""
    local = at.astimezone()
    offset = f"{local:%z}"
    return f"{local:%Y-%m-%d %H:%M} UTC{offset[:3]}:{offset[3:5]}"
