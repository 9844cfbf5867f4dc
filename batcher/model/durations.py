"""Durations as text for people. Pure.

The only place that words a duration; :mod:`batcher.report.formatting` passes it on with the other formats.
"""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``4 s``, ``3 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        n, whole = divmod(whole, size)
        if n or (name == "s" and not parts):
            parts.append(f"{n} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def at_least_a_second(seconds: float) -> str:
    """Return a duration that is certainly not zero: never ``0 s``."""
    return duration(seconds) if seconds >= 1 else "less than 1 s"
