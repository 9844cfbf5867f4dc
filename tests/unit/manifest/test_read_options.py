"""Options for reading manifests check themselves, for programs as for the command line."""

from __future__ import annotations

import pytest

from batcher.errors import SettingsError
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions


def test_wrong_read_options_are_refused_by_their_parameters() -> None:
    """Every wrong value has a line, which names the parameter and no flag."""
    with pytest.raises(SettingsError) as caught:
        ReadOptions(encoding="klingon", format="pdf")
    encoding, format_ = str(caught.value).splitlines()
    assert encoding.startswith("encoding: 'klingon' is not known.")
    assert format_ == "format: pdf is not one of csv, text, jsonl, json, parquet, xlsx, xls, xlsb, ods"


def test_wrong_defaults_are_refused_together() -> None:
    """Every wrong default has a line of its own."""
    with pytest.raises(SettingsError) as caught:
        Defaults(vendor="Ws", offsets=("soon", -1))
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "vendor",
        "offsets",
        "offsets",
    ]


def test_right_read_options_are_accepted() -> None:
    """Names of encodings are those of Python, formats those of the manifests."""
    assert ReadOptions(encoding="GB18030", format="jsonl").format == "jsonl"
