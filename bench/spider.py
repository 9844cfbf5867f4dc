"""A Scrapy spider that asks for every URL of a list: a peer of bench/throughput.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import scrapy


class Listed(scrapy.Spider):
    """One request for each line of a file."""

    name = "listed"
    listed: str

    async def start(self) -> AsyncIterator[Any]:
        """All of them."""
        for line in Path(self.listed).read_text().splitlines():  # noqa: ASYNC240 - a small file, once
            yield scrapy.Request(line, dont_filter=True)

    def parse(self, response: Any) -> None:  # noqa: ANN401 - the library has no types
        """What was answered is not kept."""
        response.json()
