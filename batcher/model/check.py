"""Findings of a check before a run: one value for each thing that was checked.

Made by :mod:`batcher.api.check`, :mod:`batcher.config.settings_findings` and for notifications; shown by
:mod:`batcher.report.check_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class CheckLevel(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARN = "warn"
    """A run could begin; the user should know this."""
    FAIL = "fail"
    """A run would end, or could not begin."""
    SKIP = "skip"
    """Not checked, because something else fails."""


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """The result of one check."""

    level: CheckLevel
    about: str
    """The subject: ``settings``, ``credentials``, ``DNS``, ``connection``, ``TLS``, ``clock``, ``call``, …"""
    text: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Figures for programs."""


def ok(about: str, text: str, **facts: object) -> CheckFinding:
    """Make a finding that needs no action."""
    return CheckFinding(CheckLevel.OK, about, text, facts=facts)


def warn(about: str, text: str, remedy: str, **facts: object) -> CheckFinding:
    """Make a finding that does not prevent a run."""
    return CheckFinding(CheckLevel.WARN, about, text, remedy, facts)


def fail(about: str, text: str, remedy: str = "", **facts: object) -> CheckFinding:
    """Make a finding that prevents a run."""
    return CheckFinding(CheckLevel.FAIL, about, text, remedy, facts)


def skip(about: str, why: str) -> CheckFinding:
    """Make a finding for a check that was not possible."""
    return CheckFinding(CheckLevel.SKIP, about, f"not checked: {why}")


def fails(findings: Sequence[CheckFinding]) -> bool:
    """Return whether a run could not begin, or would end."""
    return any(finding.level is CheckLevel.FAIL for finding in findings)
