"""Calls of the library by commands: messages name the options, not the parameters."""

from __future__ import annotations

import pytest

from batcher.cli.library_call import named_options
from batcher.errors import LedgerError, SettingsError

OPTIONS = {"folder": "--output", "rate_per_s": "--rate"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["folder out: this is a file"], ["--output out: this is a file"]),
        (["folder: is missing"], ["--output: is missing"]),
        (["rate_per_s 0: give more", "folder x: y"], ["--rate 0: give more", "--output x: y"]),
        (["rate_per_s, folder: do not fit"], ["--rate, --output: do not fit"]),
        (["timeout_s 0: give more"], ["timeout_s 0: give more"]),
        (["folders: are many"], ["folders: are many"]),
        (["the folder out: is full"], ["the folder out: is full"]),
        ([""], [""]),
    ],
)
def test_named_options_replaces_the_parameter_that_a_line_begins_with(
    lines: list[str], expected: list[str]
) -> None:
    """Only the names that a line begins with are replaced, and only if all are known parameters."""
    with pytest.raises(SettingsError) as caught, named_options(OPTIONS):
        raise SettingsError(*lines)
    assert list(caught.value.lines) == expected


def test_named_options_leaves_other_errors_as_they_are() -> None:
    """An error of the ledger may begin with any word."""
    with pytest.raises(LedgerError, match=r"^folder: is full$"), named_options(OPTIONS):
        raise LedgerError("folder: is full")
