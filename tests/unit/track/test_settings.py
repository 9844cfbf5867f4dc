"""The settings of a tracker."""

from __future__ import annotations

import math
from typing import Any

import pytest

from batcher.errors import SettingsError
from batcher.track.settings import TrackSettings


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"rate_per_s": 0.0}, ["rate_per_s 0.0: give more than 0 and at most 1,000,000"]),
        ({"rate_per_s": math.nan}, ["rate_per_s nan: give more than 0 and at most 1,000,000"]),
        ({"concurrency": 0}, ["concurrency 0: give 1 to 10,000"]),
        ({"give_up_s": 0.0}, ["give_up_s 0.0: give a number of seconds"]),
        ({"lasts_s": math.inf}, ["lasts_s inf: give a number of seconds"]),
        (
            {"concurrency": 10_001, "lasts_s": -1.0},
            ["concurrency 10001: give 1 to 10,000", "lasts_s -1.0: give a number of seconds"],
        ),
    ],
)
def test_unusable_settings_are_refused_by_the_names_of_parameters(
    given: dict[str, Any], problems: list[str]
) -> None:
    """All problems are named in one error."""
    with pytest.raises(SettingsError) as refused:
        TrackSettings(**given)
    assert list(refused.value.lines) == problems


def test_default_settings_are_usable() -> None:
    """The defaults have no time limit."""
    assert (TrackSettings().lasts_s, TrackSettings(lasts_s=0.5).lasts_s) == (None, 0.5)
