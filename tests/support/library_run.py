"""Runs within the test's own process, for faults that can only be made from inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.model.submission import EndpointKind, InDoubtPolicy
from batcher.sandbox import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET
from batcher.submit.ending import Ending
from batcher.submit.runner import Runner
from batcher.submit.settings import RunSettings
from batcher.zego.client import Account, ZegoClient
from support.manifest_files import prepare_all

HOW = ReadOptions(Defaults(vendor="Tencent", definition="10", offsets=("1", "2")))


class AtOnce(Random):
    """No backoff: a submission that is sent again is due immediately."""

    def uniform(self, a: float, b: float) -> float:
        """Return the smallest value."""
        return min(a, b)


async def run_here(
    ledger_path: Path,
    url: str,
    manifests: Sequence[Path] = (),
    *,
    prepare_ledger: Callable[[RunLedger], None] = lambda _: None,
    policy: InDoubtPolicy = InDoubtPolicy.RETRY,
    concurrency: int = 4,
    timeout_s: float = 5.0,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Ending:
    """One run as the command line wires it.

    Raises:
        LedgerError: the ledger could not be written from the start.
    """
    prepared = [one for path in manifests for one in prepare_all([str(path)], HOW)]
    settings = RunSettings(rate_per_s=2000, concurrency=concurrency, in_doubt=policy)
    account = Account(SANDBOX_APP_ID, SANDBOX_SERVER_SECRET)
    try:
        async with await open_for_writing(ledger_path) as ledger:
            ledger._clock = wall_clock
            prepare_ledger(ledger)
            await ledger.bind(SANDBOX_APP_ID, EndpointKind.OTHER)
            async with ZegoClient(
                url, account, timeout_s=timeout_s, connections=8, clock=wall_clock
            ) as client:
                runner = Runner(
                    ledger, client, settings, prepared, version="test", rng=AtOnce(1), clock=clock
                )
                return await runner.run()
    finally:
        for one in prepared:
            one.manifest.close()
