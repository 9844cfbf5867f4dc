"""Findings of a check as text and as JSON. Pure.

Called by ``batcher check``. Texts of others (a certificate, a path) are made safe for a terminal here.
"""

from __future__ import annotations

from collections.abc import Sequence

from batcher.model.check import CheckFinding, CheckLevel
from batcher.report.formatting import count, paragraph, sentence

_LABEL_WIDTH = 18


def finding_text(finding: CheckFinding, width: int) -> str:
    """A finding as a wrapped line, its remedy as a sentence of its own."""
    text = printable(finding.text)
    if finding.remedy:
        text = f"{text.rstrip('.')}. {sentence(printable(finding.remedy)).removesuffix('.')}"
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


def verdict_text(findings: Sequence[CheckFinding]) -> str:
    """Whether a run can begin, in one line."""
    failing = sum(finding.level is CheckLevel.FAIL for finding in findings)
    warnings = sum(finding.level is CheckLevel.WARN for finding in findings)
    noted = f", {count(warnings, 'warning')}" if warnings else ""
    if failing:
        return f"{count(failing, 'problem')} must be fixed before running{noted}."
    return f"A run can begin{noted}."


def printable(text: str) -> str:
    """A text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)
