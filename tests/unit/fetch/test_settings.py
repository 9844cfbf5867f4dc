"""The settings of a fetch validate themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batcher.errors import SettingsError
from batcher.fetch.settings import FetchSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"concurrency": 0}, "concurrency: 0: give 1 or more"),
        ({"limit": -1}, "limit: -1: give 1 or more"),
        ({"recordings": "139"}, "recordings: give a tuple of file ids, not one text"),
        ({"concurrency": -2, "limit": 0}, "concurrency: -2: give 1 or more\nlimit: 0: give 1 or more"),
    ],
)
def test_unusable_settings_are_refused_by_parameter_name(given: dict[str, Any], message: str) -> None:
    """The error names every parameter that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        FetchSettings(Path("pictures"), **given)
    assert str(caught.value) == message


def test_defaults_are_accepted() -> None:
    """A folder is enough."""
    settings = FetchSettings(Path("pictures"))
    assert (settings.concurrency, settings.limit, settings.recordings) == (8, None, ())
