"""Listening for callbacks: receives the callbacks of the service, and confirms their claims by polls.

Called by programs and by ``batcher listen``. A callback is on disk before it is answered, and its claim
counts only once a poll has confirmed it. Listening holds no run's lock, so a run can submit meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from batcher.api.locks import ledger_lock
from batcher.api.service_queries import checked_rate
from batcher.callbacks.acceptance import HEALTH, Acceptance
from batcher.callbacks.confirmer import CHECKS_PER_S, Confirmer, confirm
from batcher.callbacks.http_server import serve
from batcher.callbacks.new_submissions import NewSubmissions
from batcher.callbacks.receiver import Receiver
from batcher.config.defaults import ENDPOINT as DEFAULT_ENDPOINT
from batcher.config.endpoints import check_free, is_loopback
from batcher.config.ledger_names import ledger_named
from batcher.errors import SettingsError
from batcher.exit_codes import ExitCode
from batcher.files import absolute, reason_of
from batcher.flowcontrol.machine_limit import Action, window_for
from batcher.flowcontrol.pacer import Pacer
from batcher.flowcontrol.service_access import ServiceAccess
from batcher.ledger.binding import check_binding
from batcher.ledger.callbacks import CallbackLedger
from batcher.ledger.database import database_of
from batcher.ledger.holding import Purpose
from batcher.ledger.run_ledger import open_for_writing
from batcher.manifest.parameters import Defaults
from batcher.model.account import Account
from batcher.model.events import (
    ListeningStarted,
    MalformedRequest,
    Message,
    OnEvent,
    Severity,
    ignore_event,
)
from batcher.model.submission import Vendor
from batcher.track.poll_policy import LONGEST_WAIT_S
from batcher.track.settings import TrackSettings
from batcher.track.tracker import Tracker

POLL_CONNECTIONS = 16
"""Connections for polls at most."""

POLLERS = 8
"""Claimed tasks that are polled at the same time."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where callbacks are received, and which are accepted.

    Raises:
        SettingsError: a value cannot be used; all of them are named.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    """0 for a free one."""
    path: str | None = None
    """The path of the URL at which callbacks are accepted; None for any."""
    cert: Path | None = None
    """A certificate with its chain, as PEM; None for plain HTTP."""
    key: Path | None = None
    """The certificate's key; None when it is in the same file."""
    max_body_bytes: int = 512 << 10
    max_age_s: float = 600.0
    """The largest difference between a callback's time and ours, in either direction."""

    def __post_init__(self) -> None:
        """Check the values, with the bounds of the command line's options."""
        problems = []
        if not 0 <= self.port <= 65535:
            problems.append(f"port {self.port}: give 0 to 65,535")
        if self.path is not None and not re.fullmatch(r"/[!-~]*", self.path):
            problems.append(f"path {self.path}: give the path of a URL, beginning with /")
        if self.key is not None and self.cert is None:
            problems.append("key: a key needs its certificate; give cert, too")
        if not 1 << 10 <= self.max_body_bytes <= 1 << 20:
            problems.append(f"max_body_bytes {self.max_body_bytes}: give {1 << 10:,} to {1 << 20:,}")
        if not 0 < self.max_age_s < float("inf"):
            problems.append(f"max_age_s {self.max_age_s:g}: give a number of seconds above 0")
        if problems:
            raise SettingsError(*problems)


class CallbackListener:
    """A receiver of callbacks for one ledger; :meth:`run` runs until it is cancelled.

    Args:
        ledger: the ledger's file; with ``submit_new`` it is created when it is missing.
        callback_secret: the secret that callbacks are signed with; it is not the ServerSecret.
        account: the account that polls; None leaves the confirmation to a tracker.
        settings: where callbacks are received, and which are accepted.
        submit_new: make each recording that a callback names a new submission, with these parameters.
        endpoint: the service's URL.
        rate_per_s: polls per second at most.
        timeout_s: how long one poll may take.
        on_event: called with :class:`ListeningStarted`, with every callback, and with outages and warnings;
            must not block.

    Raises:
        SettingsError: a value cannot be used.
    """

    def __init__(
        self,
        ledger: str | os.PathLike[str],
        callback_secret: str,
        account: Account | None = None,
        *,
        settings: ListenSettings | None = None,
        submit_new: Defaults | None = None,
        endpoint: str = DEFAULT_ENDPOINT,
        rate_per_s: float = 20.0,
        timeout_s: float = 30.0,
        on_event: OnEvent = ignore_event,
    ) -> None:
        if not callback_secret or callback_secret.split() != [callback_secret]:
            raise SettingsError("callback_secret: give the secret of callbacks, without blanks")
        self._path = ledger_named(ledger)
        self._secret = callback_secret
        self._service = None if account is None else ServiceAccess(account, endpoint, timeout_s)
        self._settings = settings or ListenSettings()
        self._rate_per_s = checked_rate(rate_per_s)
        self._on_event = on_event
        self._certificate = ServerCertificate.of(self._settings)
        self._submissions = None if submit_new is None else NewSubmissions(submit_new)
        self._not_submitted = _not_submitted(self._submissions)
        self._running = False

    async def run(self) -> None:
        """Receive and confirm callbacks until the task is cancelled; callbacks being received are answered.

        Raises:
            SettingsError: the address cannot be listened on.
            BindingError: the ledger belongs to another AppId or kind of endpoint.
            LedgerError: the ledger cannot be used.
            RuntimeError: it is running already.
        """
        if self._running:
            raise RuntimeError("this CallbackListener is running already")
        self._running = True
        try:
            await self._run()
        finally:
            self._running = False

    def reload_certificate(self) -> None:
        """Read the certificate and its key again; connections that follow use them.

        Raises:
            SettingsError: the files cannot be used; the certificate before stays in use.
        """
        if self._certificate is not None:
            self._certificate.read()

    async def _run(self) -> None:
        if self._submissions is not None and database_of(self._path).is_missing():
            with self._served():
                await check_free(self._settings.host, self._settings.port)
            async with await open_for_writing(self._path, created=self._created):
                pass  # recordings are awaited that no manifest has named
        async with AsyncExitStack() as stack:
            database = database_of(self._path)
            if database.is_shared:
                database.check_there()
                hold = await ledger_lock(self._path, "batcher listen", purpose=Purpose.LISTENING)
                stack.enter_context(hold)
            ledger = await stack.enter_async_context(await CallbackLedger.open(self._path, self._on_event))
            app_id = await self._checked_app_id(ledger)
            await ledger.tasks.take_up(int(LONGEST_WAIT_S * 1000))
            confirmers, poll = await self._confirmers(ledger, stack)
            callback_taken = asyncio.Event()
            settings = self._settings
            acceptance = Acceptance(
                self._secret, settings.max_age_s, settings.max_body_bytes, settings.path, app_id
            )
            receiver = Receiver(
                ledger,
                acceptance,
                submissions=self._submissions,
                on_event=self._on_event,
                taken=callback_taken.set,
            )
            url = await self._serve(receiver, stack)
            self._on_event(self._started(url))
            await confirm(confirmers, poll, callback_taken, self._warn)

    async def _checked_app_id(self, ledger: CallbackLedger) -> int | None:
        """Return the AppId whose callbacks are accepted; None for every AppId with this secret."""
        bound = await ledger.bound_to()
        if self._service is None:
            return bound[0] if bound else None
        app_id = self._service.account.app_id
        check_binding(self._path, bound, app_id, self._service.endpoint_kind)
        return app_id

    async def _confirmers(
        self, ledger: CallbackLedger, stack: AsyncExitStack
    ) -> tuple[list[Confirmer], Callable[[], Awaitable[tuple[ExitCode, str]]] | None]:
        """Return what confirms callbacks, and what polls claimed tasks; without an account nothing polls."""
        applying = Confirmer(ledger, None)
        if self._service is None:
            return [applying], None
        client = await stack.enter_async_context(self._service.client(POLL_CONNECTIONS))
        limit = window_for(self._service.limit(Action.POLL), self._rate_per_s)
        polls_per_s = max(self._rate_per_s - CHECKS_PER_S, CHECKS_PER_S)
        settings = TrackSettings(polls_per_s, POLLERS, follow=True)

        async def poll() -> tuple[ExitCode, str]:
            pacer = Pacer(polls_per_s, time.monotonic, window=limit)
            tasks = ledger.claimed_tasks
            ended = await Tracker(tasks, client, settings, pacer=pacer, on_event=self._on_event).run()
            return ended.exit, ended.reason

        return [applying, Confirmer(ledger, client, self._on_event, limit)], poll

    async def _serve(self, receiver: Receiver, stack: AsyncExitStack) -> str:
        """Serve the receiver until the stack is closed; return its URL."""
        host, port = self._settings.host, self._settings.port
        context = self._certificate.context if self._certificate else None
        with self._served():
            return await stack.enter_async_context(
                serve(receiver, host, port, context, malformed=lambda: self._on_event(MalformedRequest()))
            )

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Name the settings when their address cannot be listened on."""
        host, port = self._settings.host, self._settings.port
        try:
            yield
        except (socket.gaierror, UnicodeError) as exc:
            raise SettingsError(f"host {host}: this machine has no such address") from exc
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else exc
            raise SettingsError(
                f"port {port}: {host} cannot be listened on: {why}. Choose another port"
            ) from exc

    def _started(self, url: str) -> ListeningStarted:
        return ListeningStarted(
            url + (self._settings.path or "/").removeprefix("/"),
            url + HEALTH.removeprefix("/"),
            confirms=self._service is not None,
            unprotected=self._certificate is None and not is_loopback(self._settings.host),
            not_submitted=self._not_submitted,
        )

    def _created(self, text: str) -> None:
        self._on_event(Message(text, Severity.NOTICE))

    def _warn(self, text: str) -> None:
        self._on_event(Message(text, Severity.WARNING))


def _not_submitted(submissions: NewSubmissions | None) -> tuple[str, ...]:
    """Return each vendor whose recordings cannot become submissions, with the reason.

    Raises:
        SettingsError: no vendor's recordings can.
    """
    if submissions is None:
        return ()
    missing = {vendor: row for vendor in Vendor if (row := submissions.missing(vendor)) is not None}
    reasons = tuple(f"{vendor.value}: {row.column} {row.reason}" for vendor, row in missing.items())
    if len(missing) == len(Vendor):
        raise SettingsError(
            "submit_new: what is asked of a new recording is not known. " + "; ".join(reasons)
        )
    return reasons


class ServerCertificate:
    """The certificate that callers are shown; it can be read again, since it is renewed from time to time.

    Args:
        cert: the certificate with its chain, as PEM.
        key: its key; None when it is in the same file.

    Raises:
        SettingsError: the files are not a certificate and its key.
    """

    def __init__(self, cert: Path, key: Path | None) -> None:
        self._cert = cert
        self._key = key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.read()

    @classmethod
    def of(cls, settings: ListenSettings) -> ServerCertificate | None:
        """Return the certificate of the settings; None when there is none."""
        return None if settings.cert is None else cls(settings.cert, settings.key)

    def read(self) -> None:
        """Read the files.

        Raises:
            SettingsError: they are not a certificate and its key.
        """
        for name, file in (("cert", self._cert), ("key", self._key)):
            try:
                if file is not None:
                    file.open("rb").close()
            except OSError as exc:
                place = absolute(exc.filename)
                raise SettingsError(f"{name} {place}: {reason_of(exc, to='read')}") from exc
        try:
            self.context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (ssl.SSLError, ValueError) as exc:
            reason = getattr(exc, "reason", None) or exc
            files = f"cert {self._cert}" + (f" with key {self._key}" if self._key else "")
            raise SettingsError(
                f"{files}: not a certificate with its key, as PEM without a password: {reason}"
            ) from exc


def _no_password() -> str:
    raise ValueError("the key has a password")
