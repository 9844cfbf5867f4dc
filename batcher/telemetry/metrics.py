"""Prometheus metrics of a run: figures of the ledger and of the run's own attempts, by HTTP or in a file.

Fed by a run, and made by :mod:`batcher.cli.metrics_server`. The ledger is read at each scrape, on the run's
own loop; the text is encoded in a thread. Metrics never write to the ledger, and never delay or end a run: a
figure that cannot be read keeps its last value. Names and labels are public: dashboards depend on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from batcher.config.defaults import METRICS_EVERY_S
from batcher.errors import LedgerError, SettingsError
from batcher.files import absolute, is_folder, is_special, reason_of
from batcher.flowcontrol.rate_meter import CurrentRate
from batcher.ledger.reader import LedgerReader
from batcher.model.outcome import OUTCOME_NAMES, Decision, NotReported, Settlement
from batcher.model.records import RunRecord, Tally, TaskTally
from batcher.model.submission import RunId, State
from batcher.model.task import TaskReport, TaskState
from batcher.output_files import written_whole
from batcher.report.counts import figures, task_figures

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0)
"""Upper bounds of the histogram, up to the default of ``--timeout``."""


@dataclass(frozen=True, slots=True)
class _LedgerFigures:
    """The figures of the ledger when it was last read."""

    tallies: tuple[Tally, ...] = ()
    newest: RunRecord | None = None
    ended: RunRecord | None = None
    """The newest run that has recorded its end."""
    succeeded: RunRecord | None = None
    """The newest run with exit code 0."""
    tasks: tuple[TaskTally, ...] = ()
    readable: bool = True


class Metrics(Collector):
    """The metrics of one run and its ledger.

    Args:
        ledger: read at each scrape; stays open.
        version: of this program.
    """

    def __init__(self, ledger: LedgerReader, version: str) -> None:
        self._ledger = ledger
        self._figures = _LedgerFigures()
        self._reading = asyncio.Lock()
        self._pace: Callable[[], CurrentRate] | None = None
        self._pace_read: CurrentRate | None = None
        self._exit_code: int | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)
        attempts = Counter(
            "batcher_attempts",
            "Attempts of this run that ended, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        decisions = Counter(
            "batcher_decisions", "Decisions after those attempts.", ["decision"], registry=self.registry
        )
        self._polls = Counter(
            "batcher_polls",
            "Polls of this run that ended, by the task's state, or by the outcome without one.",
            ["outcome"],
            registry=self.registry,
        )
        for word in (*TaskState, *OUTCOME_NAMES.values()):
            self._polls.labels(str(word))
        self._attempts = {kind: attempts.labels(word) for kind, word in OUTCOME_NAMES.items()}
        self._decisions = {decision: decisions.labels(decision.value) for decision in Decision}
        self._seconds = Histogram(
            "batcher_request_seconds",
            "From the first byte of a request to the end of its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._accepted = Gauge(
            "batcher_last_accepted_timestamp_seconds",
            "When this run last received a task id; 0 before the first.",
            registry=self.registry,
        )
        info = Gauge("batcher_build_info", "The version of batcher.", ["version"], registry=self.registry)
        info.labels(version).set(1)

    # -- fed by the run ----------------------------------------------------------------------------

    def settled(self, settlement: Settlement) -> None:
        """Count an attempt that ended."""
        self._attempts[type(settlement.outcome)].inc()
        self._decisions[settlement.disposition.decision].inc()
        sent_at, answered_at = settlement.sent_at, settlement.answered_at
        if sent_at is not None and answered_at is not None:
            self._seconds.observe(max((answered_at - sent_at).total_seconds(), 0.0))  # the clock may be set
            if settlement.disposition.state is State.SUBMITTED:
                self._accepted.set(answered_at.timestamp())

    def polled(self, outcome: TaskReport | NotReported) -> None:
        """Count a poll that ended."""
        if isinstance(outcome, TaskReport):
            self._polls.labels(outcome.state.value).inc()
        else:
            self._polls.labels(OUTCOME_NAMES[type(outcome)]).inc()

    def follow(self, pace: Callable[[], CurrentRate]) -> None:
        """Show the rate of the run from now on."""
        self._pace = pace

    def ended(self, exit_code: int) -> None:
        """Show the exit code of the run, also when its ledger cannot be read."""
        self._exit_code = exit_code

    # -- read by scrapes ---------------------------------------------------------------------------

    async def text(self, encode: Callable[[CollectorRegistry], bytes] = generate_latest) -> bytes:
        """Return the current metrics, encoded."""
        await self._read_ledger()
        return await asyncio.to_thread(encode, self.registry)

    async def write(self, path: Path) -> None:
        """Replace a file with the current metrics, so that no reader sees half of them.

        Raises:
            OSError: it cannot be written.
        """
        await self._read_ledger()
        await asyncio.to_thread(self._write, path)

    def _write(self, path: Path) -> None:
        if is_special(path) or is_folder(path):
            raise OSError("it is not a file")  # a rename would replace a device
        # Readable with any umask: the node exporter is another user.
        with written_whole(path.resolve(), "--metrics-file", mode=0o644) as file:
            file.write(generate_latest(self.registry))

    async def _read_ledger(self) -> None:
        """Read the ledger; when that fails, the last figures are kept."""
        async with self._reading:
            try:
                self._figures = _LedgerFigures(
                    tuple(await self._ledger.tallies()),
                    await self._ledger.last_run(),
                    await self._ledger.last_ended_run(),
                    await self._ledger.last_ended_run(exit_code=0),
                    tuple(await self._ledger.tallies_of_tasks()),
                )
            except LedgerError:
                self._figures = replace(self._figures, readable=False)
        if self._pace is not None:
            self._pace_read = self._pace()  # on the loop: metrics are encoded in threads

    def collect(self) -> Iterator[Metric]:
        """The figures that are read from the ledger, of one moment; called by the registry."""
        yield from _of_tallies(self._figures)
        yield from _of_runs(self._figures, self._exit_code)
        if self._pace_read is not None:
            pace = self._pace_read
            yield _gauge("pace_per_second", "Requests per second that the pacer allows.", pace.pace_per_s)
            yield _gauge("cap_per_second", "What --rate allows at most.", pace.cap_per_s)


def _gauge(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"batcher_{name}", says, value=value)


def _of_tallies(read: _LedgerFigures) -> Iterator[Metric]:
    now = figures(read.tallies)
    by_code = {(state, _code(state, None)): 0 for state in State}  # a state without submissions shows 0
    for tally in read.tallies:
        key = tally.state, _code(tally.state, tally.code)
        by_code[key] = by_code.get(key, 0) + tally.n
    submissions = GaugeMetricFamily(
        "batcher_submissions",
        "Submissions by state and last definite code; the code is empty when there is none.",
        labels=["state", "code"],
    )
    for (state, code), n in sorted(by_code.items()):
        submissions.add_metric([state.value, code], n)
    yield submissions
    tasks = GaugeMetricFamily(
        "batcher_tasks",
        "Tasks of submissions by state; all 0 before tasks are tracked.",
        labels=["state"],
    )
    for task_state, n in task_figures(read.tasks, now.by_state[State.SUBMITTED]).by_state.items():
        tasks.add_metric([task_state.value], n)
    yield tasks
    yield _gauge("in_doubt", "Submissions that may have been accepted.", now.by_state[State.IN_DOUBT])
    yield _gauge("queue_left", "Submissions still to be sent, or in flight.", now.open)
    yield _gauge(
        "ledger_readable", "0 when the ledger's figures are older than the rest.", int(read.readable)
    )


def _code(state: State, code: int | None) -> str:
    """Return the code as in an export."""
    return "0" if state is State.SUBMITTED else "" if code is None else str(code)


def _of_runs(read: _LedgerFigures, exit_code: int | None) -> Iterator[Metric]:
    newest, ended, succeeded = read.newest, read.ended, read.succeeded
    yield CounterMetricFamily(
        "batcher_runs", "Runs recorded in this ledger.", value=newest.id if newest else RunId(0)
    )
    if newest is not None:
        at = newest.started_at.timestamp()
        yield _gauge("run_started_timestamp_seconds", "When the newest run began.", at)
    yield _gauge(
        "last_success_timestamp_seconds",
        "When a run last ended with exit code 0; 0 when no run has.",
        succeeded.ended_at.timestamp() if succeeded and succeeded.ended_at else 0,
    )
    code = exit_code if exit_code is not None else ended.exit_code if ended else None
    if code is not None:
        yield _gauge("last_run_exit_code", "The exit code of the newest run that has ended.", code)


# -- by HTTP --------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(metrics: Metrics, host: str, port: int) -> AsyncIterator[str]:
    """Serve the metrics during the block.

    Args:
        metrics: the metrics to serve.
        host: the address or name to listen at; an IPv6 address with or without its brackets.
        port: 0 takes a free one.

    Yields:
        The URL.

    Raises:
        OSError: the address cannot be listened on.
    """
    app = web.Application()
    app.router.add_get("/metrics", functools.partial(_answer, metrics))
    app.router.add_get("/", functools.partial(_answer, metrics))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, host.strip("[]"), port).start()
        address, bound = runner.addresses[0][:2]
        yield f"http://{f'[{address}]' if ':' in address else address}:{bound}/metrics"
    finally:
        await runner.cleanup()


async def _answer(metrics: Metrics, request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = await metrics.text(encode)
    return web.Response(body=body, headers={"Content-Type": content_type})


# -- in a file ------------------------------------------------------------------------------------------


@asynccontextmanager
async def written(
    metrics: Metrics, path: Path, warn: Callable[[str], None], every_s: float = METRICS_EVERY_S
) -> AsyncIterator[None]:
    """Keep a file for the node exporter during the block, and write it a last time at the end.

    Args:
        metrics: the metrics to write.
        path: the file; the node exporter reads only names that end in ``.prom``.
        warn: called once, when it cannot be written.
        every_s: the interval between writes.
    """
    closing = asyncio.Event()
    task = asyncio.create_task(_keep_writing(metrics, path, warn, every_s, closing), name="metrics-file")
    try:
        yield
    finally:
        closing.set()
        await task


async def _keep_writing(
    metrics: Metrics, path: Path, warn: Callable[[str], None], every_s: float, closing: asyncio.Event
) -> None:
    warned = False
    while True:
        last = closing.is_set()
        try:
            await metrics.write(path)
        except (OSError, SettingsError) as exc:
            if not warned:
                why = reason_of(exc, path, to="write") if isinstance(exc, OSError) else exc
                warn(
                    f"--metrics-file {absolute(path)}: cannot be written: {why}. The run continues without it"
                )
            warned = True
        if last:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await closing.wait()
