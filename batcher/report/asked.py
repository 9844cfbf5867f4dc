"""What is asked for, in words: how many, of which vendor and type, under which parameters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batcher.model.records import AskedFor
from batcher.model.submission import Parameters
from batcher.report.formatting import count

FIRST_GROUPS = 5
"""So many groups are named, the largest first."""

_LONGEST_OFFSETS = 60


def asked_for(counts: Mapping[Parameters, int]) -> AskedFor:
    """Counted parameters, the largest groups first."""
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return AskedFor(tuple(ranked[:FIRST_GROUPS]), sum(counts.values()), len(counts))


def asked_words(asked: Parameters) -> str:
    """``Tencent SnapshotByTimeOffset, definition 10, offsets 1;2``."""
    parts = [f"{asked.vendor.value} {asked.type.value}"]
    parts += [f"definition {asked.definition}"] if asked.definition else []
    parts += [f"interval {asked.interval}"] if asked.interval else []
    offsets = ";".join(asked.offsets)
    if len(offsets) > _LONGEST_OFFSETS:
        offsets = f"{offsets[:_LONGEST_OFFSETS]}… ({len(asked.offsets):,} of them)"
    parts += [f"offsets {offsets}"] if offsets else []
    return ", ".join(parts)


def asked_text(label: str, asked: AskedFor) -> str:
    """What is asked for after a label: in its line when it is one group, else a line each below it."""
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
    """The largest groups for a program."""
    return [
        {
            "n": n,
            "vendor": one.vendor.value,
            "type": one.type.value,
            "definition": one.definition or None,
            "interval": one.interval or None,
            "offsets": ";".join(one.offsets) or None,
        }
        for one, n in asked.groups
    ]
