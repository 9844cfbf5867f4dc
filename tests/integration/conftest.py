"""Fixtures that several files of integration tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.cli import Cli
from support.ledger_place import copy_ledger, empty_ledger
from support.pictured import PictureServer, serving_pictures


@pytest.fixture
async def server(cli: Cli) -> AsyncIterator[PictureServer]:
    """A server of pictures, beside a ledger of submissions that went to this machine."""
    copy_ledger(await empty_ledger(), cli.folder / "batcher.db")
    async with serving_pictures() as serving:
        cli.env["BATCHER_ENDPOINT"] = f"{serving.url}/"
        yield serving
