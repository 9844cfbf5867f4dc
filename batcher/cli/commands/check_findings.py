"""What ``check`` finds: a line each for people, an object each for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from batcher.report.formatting import paragraph, sentence

_LABEL_WIDTH = 18


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    """A run could begin, and a person should know this."""
    FAIL = "fail"
    """A run would end, or could not begin."""
    SKIP = "skip"
    """Not looked at, because of something else that fails."""


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing that was looked at."""

    level: Severity
    about: str
    text: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    """For programs."""


def ok(about: str, text: str, **facts: object) -> CheckFinding:
    """All is well."""
    return CheckFinding(Severity.OK, about, text, facts=facts)


def warn(about: str, text: str, remedy: str, **facts: object) -> CheckFinding:
    """Well enough for a run."""
    return CheckFinding(Severity.WARN, about, text, remedy, facts)


def fail(about: str, text: str, remedy: str = "", **facts: object) -> CheckFinding:
    """A run would not do."""
    return CheckFinding(Severity.FAIL, about, text, remedy, facts)


def skip(about: str, why: str) -> CheckFinding:
    """Not looked at."""
    return CheckFinding(Severity.SKIP, about, f"not looked at: {why}")


def finding_text(finding: CheckFinding, width: int) -> str:
    """A finding as a wrapped line, its remedy as a sentence of its own."""
    text = shown(finding.text)
    if finding.remedy:
        text = f"{text.rstrip('.')}. {sentence(shown(finding.remedy)).removesuffix('.')}"
    label = f"{finding.level.value:<6}{finding.about}"
    return paragraph(label, text, width=width, indent=0, label_width=_LABEL_WIDTH)


def finding_json(finding: CheckFinding) -> dict[str, object]:
    """A finding as an object."""
    return {
        "level": finding.level.value,
        "about": finding.about,
        "text": finding.text,
        "remedy": finding.remedy or None,
        **finding.facts,
    }


def fails(findings: Sequence[CheckFinding]) -> bool:
    """Whether a run could not begin, or would end."""
    return any(finding.level is Severity.FAIL for finding in findings)


def shown(text: str) -> str:
    """A text that may hold what somebody else has written, safe for a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)
