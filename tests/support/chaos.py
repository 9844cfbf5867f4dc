"""Chaos: faults at random over several runs on one ledger in PostgreSQL, until everything is sent.

Every fault is drawn from one seed. What is drawn at the same moment on a busier machine hits another place;
the seed repeats the plan, not the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from batcher.exit_codes import ExitCode
from batcher.sandbox import Sandbox, SandboxSettings
from support.cli import Process, serving
from support.run_fleet import Fleet
from support.short_leases import LEASE_S, REQUEST_S, SHORT_LEASES
from support.tcp_proxy import TcpProxy

FAULTY_ANSWERS = {"drop-after": 0.01, "drop-before": 0.01, "code:1": 0.01, "code:6": 0.01}
RATE = 100
PATIENCE_S = 60.0
SLOWEST_PER_S = 10.0
"""How long the runs may take after the last fault."""
UNREACHABLE = "the ledger cannot be reached"
"""A run that cannot reach its server as it begins has exit code 6; one that has begun waits."""


@dataclass
class Chaos:
    """One run of the chaos.

    Args:
        fleet: its server is this chaos's own.
        rng: draws everything.
        runs: how many runs there are at a time.
        faults: how many there will be.
        away_s: the longest time for which the server is away.
        policy: what is done with what is in doubt.
    """

    fleet: Fleet
    rng: Random
    runs: int
    faults: int
    away_s: float = 20.0
    policy: str = "retry"
    done: Counter[str] = field(default_factory=Counter)
    """The faults so far, by kind."""
    ends: Counter[int] = field(default_factory=Counter)
    """The exit codes."""
    errors: list[str] = field(default_factory=list)
    """What runs with unexpected exit codes printed."""

    async def carry_out(self, rows: int) -> Sandbox:
        """Send so many recordings under faults; returns the sandbox with its log."""
        self.fleet.cli.constants |= SHORT_LEASES
        await self.fleet.load(rows, self.rng.randrange(2**20))
        settings = SandboxSettings(
            rate_per_s=None, latency_ms=30, shares=FAULTY_ANSWERS, seed=self.rng.randrange(2**20)
        )
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(serving(self.fleet.cli, settings, ledger_made=False))
            proxies = [
                await stack.enter_async_context(TcpProxy(self.fleet.server.port).serving())
                for _ in range(self.runs)
            ]
            places = [_Place(self, proxy) for proxy in proxies]
            keepers = [asyncio.create_task(place.keep()) for place in places]
            try:
                await self._make_faults(places)
                for place in places:
                    place.mend()
                await self._wait_for(keepers)
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)
            await self._finish()
        return sandbox

    async def _wait_for(self, keepers: list[asyncio.Task[None]]) -> None:
        """Wait for the ends of the runs; a run that does not end fails with what the ledger shows."""
        _, late = await asyncio.wait(keepers, timeout=PATIENCE_S + len(self.fleet.ids) / SLOWEST_PER_S)
        if late:
            queries = (
                "SELECT * FROM {s}.runs",
                "SELECT state, tries_doubt, count(*), min(not_before_ms) FROM {s}.submissions GROUP BY 1, 2",
                """SELECT pid, state, wait_event, left(query, 80), now() - query_start FROM pg_stat_activity
                WHERE application_name = 'batcher'""",
                "SELECT extract(epoch FROM clock_timestamp()) * 1000",
            )
            shown = [str(row) for query in queries for row in self.fleet.query(query)]
            raise AssertionError("\n".join([f"{len(late)} runs do not end", *shown]))

    async def _make_faults(self, places: list[_Place]) -> None:
        kinds: list[tuple[Callable[[_Place], Awaitable[None]], int]] = [
            (_Place.kill, 3),
            (_Place.stop, 4),
            (_Place.cut, 4),
            (_Place.swallow, 2),
            (_Place.forget, 2),
            (_Place.delay, 3),
            (self._terminate_backends, 2),
            (self._kill_backend, 1),
            (self._crash, 1),
            (self._away, 1),
        ]
        waiting: set[asyncio.Task[None]] = set()
        for _ in range(self.faults):
            [kind] = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
            self.done[kind.__name__.strip("_")] += 1
            task = asyncio.ensure_future(kind(self.rng.choice(places)))
            waiting.add(task)
            if kind in (self._crash, self._away, self._kill_backend):
                await task
            await asyncio.sleep(self.rng.uniform(0.0, 0.8))
            if all(place.has_ended for place in places):
                break
        await asyncio.gather(*waiting)

    async def _terminate_backends(self, _: _Place) -> None:
        share = self.rng.uniform(0.2, 1.0)
        sql = f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'batcher' AND random() < {share}"""  # noqa: S608 - a number
        await asyncio.to_thread(self.fleet.server.query, sql)

    async def _kill_backend(self, _: _Place) -> None:
        """A real SIGKILL of one session: the server ends all others and recovers."""
        found = await asyncio.to_thread(
            self.fleet.server.query, "SELECT pid FROM pg_stat_activity WHERE application_name = 'batcher'"
        )
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(found)[0], signal.SIGKILL)
        await self._until_back()

    async def _crash(self, _: _Place) -> None:
        await asyncio.to_thread(self.fleet.server.restart, "immediate")

    async def _away(self, _: _Place) -> None:
        await asyncio.to_thread(self.fleet.server.stop, "immediate")
        await asyncio.sleep(self.rng.uniform(0.0, self.away_s))
        await asyncio.to_thread(self.fleet.server.start)

    async def _until_back(self) -> None:
        import psycopg

        began = time.monotonic()
        while time.monotonic() - began < 60:
            with contextlib.suppress(psycopg.Error):
                await asyncio.to_thread(self.fleet.server.query, "SELECT 1")
                return
            await asyncio.sleep(0.1)

    async def _finish(self) -> None:
        """Let one more run, without faults, send what is left and take over what is open."""
        done = await self.fleet.finish(await self.start(None), 0, 1)
        self.ends[done.code] += 1

    async def start(self, proxy: TcpProxy | None) -> Process:
        return await self.fleet.start(
            *("--rate", str(RATE), "--timeout", f"{REQUEST_S:g}", "--in-doubt", self.policy), proxy=proxy
        )


class _Place:
    """One run after another, behind one proxy."""

    def __init__(self, chaos: Chaos, proxy: TcpProxy) -> None:
        self.has_ended = False
        self._chaos = chaos
        self._proxy = proxy
        self._process: Process | None = None

    async def keep(self) -> None:
        """Start a run again each time that it was killed; ends when one has ended by itself."""
        while True:
            self._process = await self._chaos.start(self._proxy)
            out, err = await self._process.communicate()
            code = self._process.returncode or 0
            self._chaos.ends[code] += 1
            said = err.decode()
            begins = code == ExitCode.LEDGER and UNREACHABLE in said and "Left to send" not in said
            if not begins and code not in (0, 1, -signal.SIGKILL):
                self._chaos.errors.append(f"exit code {code}: {out.decode()[-500:]}{said[-1500:]}")
            if not begins and code >= 0:
                self.has_ended = True
                return
            await asyncio.sleep(0.2)  # as a supervisor starts it again

    async def kill(self) -> None:
        self._send(signal.SIGKILL)

    async def stop(self) -> None:
        """Between a tenth of a lease and four."""
        self._send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_S * self._chaos.rng.uniform(0.1, 4.0))
        self._send(signal.SIGCONT)

    async def cut(self) -> None:
        self._proxy.cut()

    async def swallow(self) -> None:
        self._proxy.swallow()
        await asyncio.sleep(self._chaos.rng.uniform(0.1, 8.0))
        self._proxy.mend()

    async def forget(self) -> None:
        self._proxy.forget_connections()

    async def delay(self) -> None:
        self._proxy.delay(self._chaos.rng.uniform(0.001, 0.3))
        await asyncio.sleep(self._chaos.rng.uniform(0.5, 3.0))
        self._proxy.mend()

    def mend(self) -> None:
        """Let the proxy and the process go on."""
        self._proxy.mend()
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
