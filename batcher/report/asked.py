"""Descriptions of what is asked for: how many submissions, of which vendor and type, with which parameters.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batcher.model.records import AskedFor
from batcher.model.submission import Parameters
from batcher.report.formatting import count

FIRST_GROUPS = 5
"""The number of groups that are named, the largest first."""

_LONGEST_OFFSETS = 60


def asked_for(counts: Mapping[Parameters, int]) -> AskedFor:
    """Return counted parameters, the largest groups first."""
    ranked = sorted(counts.items(), key=lambda group: (-group[1], group[0]))
    return AskedFor(tuple(ranked[:FIRST_GROUPS]), sum(counts.values()), len(counts))


def asked_words(asked: Parameters) -> str:
    """Return parameters in words: ``Tencent SnapshotByTimeOffset, definition 10, offsets 1;2``."""
    parts = [f"{asked.vendor.value} {asked.type.value}"]
    parts += [f"definition {asked.definition}"] if asked.definition else []
    parts += [f"interval {asked.interval}"] if asked.interval else []
    offsets = ";".join(asked.offsets)
    if len(offsets) > _LONGEST_OFFSETS:
        offsets = f"{offsets[:_LONGEST_OFFSETS]}… ({len(asked.offsets):,} of them)"
    parts += [f"offsets {offsets}"] if offsets else []
    return ", ".join(parts)


def asked_text(label: str, asked: AskedFor) -> str:
    """Return what is asked for after a label: one group in the same line, several in lines below it."""
    lines = [f"{n:,} {asked_words(parameters)}" for parameters, n in asked.groups]
    if (others := asked.sets - len(asked.groups)) > 0:
        rest = asked.n - sum(n for _, n in asked.groups)
        lines.append(f"{rest:,} under {count(others, 'other set')} of parameters")
    if not lines:
        return ""
    if len(lines) == 1:
        return f"{label}: {lines[0]}"
    return "\n".join([f"{label}:", *(f"  {line}" for line in lines)])


def asked_json(asked: AskedFor) -> list[dict[str, Any]]:
    """Return the largest groups as JSON values."""
    return [
        {
            "n": n,
            "vendor": parameters.vendor.value,
            "type": parameters.type.value,
            "definition": parameters.definition or None,
            "interval": parameters.interval or None,
            "offsets": ";".join(parameters.offsets) or None,
        }
        for parameters, n in asked.groups
    ]
