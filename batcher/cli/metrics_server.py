"""The metrics of ``run``: by HTTP during the run, and in a file that outlasts it.

Called by ``run``. :mod:`batcher.telemetry.metrics` is imported only when metrics are asked for. A file that
cannot be written gives one warning; a port that cannot be listened on is refused before anything is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from batcher._version import __version__
from batcher.cli.terminal.console import Console
from batcher.config.endpoints import check_free
from batcher.config.ledger_names import ledger_named
from batcher.config.settings import Settings
from batcher.errors import BatcherError, SettingsError
from batcher.exit_codes import ExitCode
from batcher.ledger.database import database_of
from batcher.ledger.reader import open_for_reading

if TYPE_CHECKING:
    from batcher.api.run import Run
    from batcher.telemetry.metrics import Metrics


@asynccontextmanager
async def measured(settings: Settings, run: Run, console: Console) -> AsyncIterator[Callable[[int], None]]:
    """Show a run's metrics during the block; yields a function to be called with its exit code.

    Raises:
        SettingsError: the port cannot be listened on; nothing has been sent.
    """
    if settings.metrics_port is None and settings.metrics_file is None:
        yield lambda _: None
        return
    from batcher.telemetry.metrics import Metrics, written

    metrics = Metrics(run.ledger, __version__)
    metrics.follow(lambda: run.pace)
    run.observers.settled, run.observers.polled = metrics.settled, metrics.polled
    async with AsyncExitStack() as stack:
        if settings.metrics_file is not None:
            await stack.enter_async_context(written(metrics, settings.metrics_file, console.warn))
        try:
            if settings.metrics_port is not None:
                url = await _serve(metrics, settings.metrics_host, settings.metrics_port, stack)
                console.say(f"Metrics: {url}")
            yield metrics.ended
        except BatcherError as exc:
            metrics.ended(exc.exit_code)
            raise
        except Exception:
            metrics.ended(ExitCode.DEFECT)
            raise


async def check_port(settings: Settings) -> None:
    """Refuse a run whose metrics cannot be served, before it creates a ledger.

    Raises:
        SettingsError: the port cannot be listened on.
    """
    if settings.metrics_port is not None:
        with _address_named(settings.metrics_host, settings.metrics_port):
            await check_free(settings.metrics_host, settings.metrics_port)


async def _serve(metrics: Metrics, host: str, port: int, stack: AsyncExitStack) -> str:
    from batcher.telemetry.metrics import served

    with _address_named(host, port):
        return await stack.enter_async_context(served(metrics, host, port))


@contextlib.contextmanager
def _address_named(host: str, port: int) -> Iterator[None]:
    """Name the options when their address cannot be listened on."""
    try:
        yield
    except (socket.gaierror, UnicodeError) as exc:
        raise SettingsError(
            f"--metrics-host {host}: this machine has no such address. Nothing was sent"
        ) from exc
    except OSError as exc:
        raise SettingsError(
            f"--metrics-port {port}: {host} cannot be listened on: {os.strerror(exc.errno or 0)}. "
            "Choose another port; nothing was sent"
        ) from exc


@asynccontextmanager
async def recorded_if_not_begun(settings: Settings) -> AsyncIterator[None]:
    """Write the exit code to the metrics file when the block fails, before the run has the ledger's lock."""
    try:
        yield
    except BatcherError as exc:
        with contextlib.suppress(
            BatcherError, OSError
        ):  # the error that ended the run is reported, not this one
            await _record_not_begun(settings, exc.exit_code)
        raise


async def _record_not_begun(settings: Settings, exit_code: int) -> None:
    """Write the exit code; a file that another run writes is left alone."""
    path = ledger_named(settings.ledger)
    database = database_of(path)
    if settings.metrics_file is None or database.is_missing() or await database.holder() is not False:
        return
    from batcher.telemetry.metrics import Metrics

    async with await open_for_reading(path) as ledger:
        metrics = Metrics(ledger, __version__)
        metrics.ended(exit_code)
        await metrics.write(settings.metrics_file)
