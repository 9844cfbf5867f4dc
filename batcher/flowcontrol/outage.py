"""Outages: how long to wait, and what is asked meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from batcher.model.outcome import Answer, Outcome
from batcher.zego.codes import meaning

SILENT_CALLS = 5
"""So many calls in a row without any answer begin an outage."""


FIRST_PROBE_S = 0.5

LONGEST_PROBE_S = 60.0

PROBE_GROWTH = 1.5
"""An outage is found over when it has lasted half as long again at most."""


SUSPECT_PAUSE_S = 2.0
"""How long to pause before asking whether code 7 was the credentials or the rate."""


class Prober(Protocol):
    """What the governor needs of the client."""

    async def probe(self, may_leave: Callable[[], Awaitable[bool]] | None = None) -> Outcome:
        """Make the harmless call; ``may_leave`` is asked just before its first byte."""


def halt_reason(answer: Answer) -> str:
    """Why an answer halts the run, and what to do."""
    what = meaning(answer.code)
    said = f" (the service says: {answer.message})" if answer.message else ""
    return f"code {answer.code}: {what.text}{said}; {what.remedy}"
