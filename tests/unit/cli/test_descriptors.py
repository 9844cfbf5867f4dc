"""A concurrency within the limit of open files."""

from __future__ import annotations

import pytest

from batcher.cli.descriptors import RESERVED, fitted


@pytest.mark.parametrize(
    ("concurrency", "flows", "limit", "fits"),
    [
        (64, 1, 1024, 64),
        (64, 1, RESERVED + 24, 24),
        (64, 2, RESERVED + 24, 12),
        (64, 2, RESERVED + 1, 0),
        (64, 1, 20, 0),
        (1, 1, RESERVED + 1, 1),
    ],
)
def test_concurrency_fits_the_limit(concurrency: int, flows: int, limit: int, fits: int) -> None:
    """Flows share what is left beside the files of the ledger."""
    assert fitted(concurrency, flows, limit) == fits
