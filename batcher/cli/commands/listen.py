"""``listen``: receives callbacks for as long as it is let, and confirms what they claim.

Between the command line and the receiver. It holds no run's lock: a run may go on beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from batcher.callbacks.confirmer import Confirmation
from batcher.callbacks.receiver import HEALTH, Acceptance, NewSubmissions, Receiver, received
from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.read_options import how_to_read
from batcher.cli.signals import Signals
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import Volume
from batcher.config.account import account_of, callback_secret_of, has_account
from batcher.config.endpoints import is_loopback
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.flowcontrol.machine_limit import Action, LimitKey, window_for
from batcher.flowcontrol.pacer import SlidingWindow as SlidingWindow
from batcher.ledger import check_binding, is_missing, ledger_path, open_for_writing
from batcher.ledger.callbacks import CallbackLedger
from batcher.model.events import CallbackRefused, CallbackTaken, ClaimChecked, Event
from batcher.model.submission import Vendor
from batcher.report.formatting import count, one_line
from batcher.track.poll_policy import LONGEST_WAIT_S
from batcher.zego.client import Account, ZegoClient

OPTIONS: Final = {
    "listen_port": Annotated[
        int | None, typer.Option("--port", metavar="N", help="0 takes a free one. (default: 8080)")
    ],
    "listen_host": Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", help="Which of this machine's addresses. (default: 127.0.0.1)"
        ),
    ],
    "listen_path": Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="Take callbacks at this path alone. (default: any)"),
    ],
    "listen_cert": Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", help="Speak TLS with this certificate and its chain, as PEM."),
    ],
    "listen_key": Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The certificate's key. (default: in the same file)"),
    ],
    "listen_max_body": Annotated[
        str | None,
        typer.Option("--max-body", metavar="SIZE", help="Refuse a longer callback. (default: 512KiB)"),
    ],
    "listen_max_age": Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="DURATION",
            help="Refuse a callback whose time is further from ours. (default: 10m)",
        ),
    ],
    "submit_new": Annotated[
        bool | None,
        typer.Option(
            "--submit-new",
            help="Make each recording that a callback tells of a new submission, for the next run.",
        ),
    ],
    **o.DEFAULTS,
    **o.COMMON,
}


@command("listen", options=OPTIONS)
async def listen(
    call: Invocation,
) -> int:
    """Receive the service's callbacks, and confirm what they say.

    A `snapshot` callback makes its task due for a poll at once; one that names the recording of a
    submission in doubt settles that, once a poll has confirmed the task. With --submit-new, `record` and
    `compose` callbacks become new submissions, which the next `batcher run` sends: --definition and
    --offset are for recordings at Tencent, --interval for those at Huawei. Works beside a run. Answers
    once a callback is on disk; GET /healthz says whether the ledger can be read.

    Needs BATCHER_CALLBACK_SECRET (or BATCHER_CALLBACK_SECRET_FILE, or BATCHER_CALLBACK_SECRET_COMMAND),
    which is not the ServerSecret; to confirm, the account as for `batcher run`, else `batcher track` does
    it. A certificate is read again on SIGHUP.

    Exit codes: 2 settings, or nobody can listen there; 6 the ledger cannot be used; 130, 143 stopped by a
    signal, which is how it ends.

    Example:  batcher listen --submit-new --definition 10 --offset 1
    """
    return await listen_to_callbacks(call.settings, call.console)


WARN_EVERY_S = 60.0
"""How often it is said, at most, that callbacks were refused."""

CONNECTIONS = 16
"""To the service, for polls."""


async def listen_to_callbacks(settings: Settings, console: Console) -> int:
    """Listen until a signal comes; what was taken by then is on disk."""
    secret = callback_secret_of(settings)
    console.redaction.learn(secret)
    account = _account(settings, console)
    submissions = _submissions(settings, console)
    tls = _Certificate(settings) if settings.listen_cert or settings.listen_key else None
    path = ledger_path(settings.ledger)
    if submissions is not None and is_missing(path):
        async with await open_for_writing(path, created=console.note):
            pass  # recordings are awaited that no manifest has named
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(await CallbackLedger.open(path, console.on_event))
        bound = await ledger.bound_to()
        check_binding(path, bound, settings.app_id, settings.place if account else None)
        await ledger.tasks.take_up(int(LONGEST_WAIT_S * 1000))
        client = None
        if account is not None:
            calls = ZegoClient(
                settings.endpoint, account, timeout_s=settings.timeout, connections=CONNECTIONS
            )
            client = await stack.enter_async_context(calls)
        said = _Said(console)
        limit = _limit(settings, account)
        confirmation = Confirmation(
            ledger, client, settings.rate, limit=limit, on_event=said, warn=console.warn
        )
        acceptance = Acceptance(
            secret,
            settings.listen_max_age,
            settings.listen_max_body,
            settings.listen_path,
            settings.app_id or (bound[0] if bound else None),
        )
        receiver = Receiver(
            ledger, acceptance, submissions=submissions, on_event=said, taken=confirmation.look
        )
        stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stack.enter_context(
            Signals(partial(_stop, stopped), hang_up=None if tls is None else partial(_read_again, tls))
        )
        confirming = asyncio.create_task(confirmation.go_on(), name="confirmation")
        stack.push_async_callback(_end, confirming)
        url = await _received(receiver, settings, tls, stack, said)
        _introduce(settings, console, url, confirms=client is not None, secured=tls is not None)
        code = await _until(stopped, confirming)
    said.close(code)
    return code


def _account(settings: Settings, console: Console) -> Account | None:
    if not has_account(settings):
        return None
    app_id, secret = account_of(settings)
    console.redaction.learn(secret)
    return Account(app_id, secret, settings.is_test)


def _limit(settings: Settings, account: Account | None) -> SlidingWindow | None:
    if account is None:
        return None
    return window_for(LimitKey.of(account.app_id, Action.POLL, settings.endpoint), settings.rate)


def _submissions(settings: Settings, console: Console) -> NewSubmissions | None:
    """What follows from recordings.

    Raises:
        SettingsError: nothing could ever follow.
    """
    if not settings.submit_new:
        return None
    submissions = NewSubmissions(how_to_read(settings).defaults)
    missing = {vendor: row for vendor in Vendor if (row := submissions.missing(vendor)) is not None}
    reasons = [f"{vendor.value}: {row.column} {row.reason}" for vendor, row in missing.items()]
    if len(missing) == len(Vendor):
        raise SettingsError(
            "--submit-new: what is asked of a new recording is not known. " + "; ".join(reasons)
        )
    for one in reasons:
        console.detail(f"--submit-new: recordings of {one}. They are noted and not submitted")
    return submissions


async def _received(
    receiver: Receiver, settings: Settings, tls: _Certificate | None, stack: AsyncExitStack, said: _Said
) -> str:
    host, port = settings.listen_host, settings.listen_port
    context = tls.context if tls else None
    try:
        return await stack.enter_async_context(
            received(receiver, host, port, context, malformed=said.malformed)
        )
    except (socket.gaierror, UnicodeError) as exc:
        raise SettingsError(f"--host {host}: this machine has no such address") from exc
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else exc
        raise SettingsError(
            f"--port {port}: {host} cannot be listened on: {why}. Choose another port"
        ) from exc


def _introduce(settings: Settings, console: Console, url: str, *, confirms: bool, secured: bool) -> None:
    at = url + (settings.listen_path or "/").removeprefix("/")
    console.say(f"Listening for callbacks: {at} (health: {url}{HEALTH.removeprefix('/')})")
    if not secured and not is_loopback(settings.listen_host):
        console.warn(
            f"--host {settings.listen_host}: others reach this without TLS, and whoever reads a callback on "
            "its way can change it. Give --cert, or let a proxy on this machine have the certificate"
        )
    if not confirms:
        console.say("Without an account nothing is confirmed here: batcher track does that.")


class _Certificate:
    """The certificate that is shown to callers; read again on SIGHUP, since it is renewed meanwhile."""

    def __init__(self, settings: Settings) -> None:
        if settings.listen_cert is None:
            raise SettingsError("--key: a key without a certificate; give --cert too")
        self._files = settings.listen_cert, settings.listen_key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.read()

    def read(self) -> None:
        """Read the files.

        Raises:
            SettingsError: they are no certificate and its key.
        """
        cert, key = self._files
        for option, file in (("--cert", cert), ("--key", key)):
            try:
                if file is not None:
                    file.open("rb").close()
            except OSError as exc:
                raise SettingsError(f"{option} {file}: cannot be read: {exc.strerror}") from exc
        try:
            self.context.load_cert_chain(cert, key, password=_no_password)
        except (ssl.SSLError, ValueError) as exc:
            said = getattr(exc, "reason", None) or exc
            where = f"--cert {cert}" + (f", --key {key}" if key else "")
            raise SettingsError(
                f"{where}: not a certificate with its key, as PEM without a password: {said}"
            ) from exc


def _no_password() -> str:
    raise ValueError("the key has a password")


# -- what is said --------------------------------------------------------------------------------------


class _Said:
    """What is said of callbacks: each to programs and curious people, refusals to all, now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._refused: Counter[str] = Counter()
        self._taken_in_all = self._refused_in_all = 0
        self._next: asyncio.TimerHandle | None = None

    def __call__(self, notice: Event) -> None:
        if isinstance(notice, CallbackRefused):
            self._count(notice.why)
        self._taken_in_all += isinstance(notice, CallbackTaken)
        if (
            not isinstance(notice, CallbackTaken | CallbackRefused | ClaimChecked)
            or self._console.for_programs
        ):
            self._console.on_event(notice)
        elif isinstance(notice, ClaimChecked):
            self._console.say(notice.words)
        elif self._console.volume is Volume.VERBOSE:
            self._console.write(one_line(notice.words), needed=False)

    def close(self, code: int) -> None:
        """Say what was not said yet, and what there was in all."""
        if self._next is not None:
            self._next.cancel()
        self._show()
        taken, refused = count(self._taken_in_all, "callback"), count(self._refused_in_all, "request")
        self._console.say(f"Stopped by {signal.Signals(code - 128).name}: {taken} taken, {refused} refused.")

    def malformed(self) -> None:
        """Count a request that is not HTTP: it gets no line of its own, since there can be any number."""
        self._count("it is not HTTP")

    def _count(self, why: str) -> None:
        self._refused[why] += 1
        self._refused_in_all += 1
        if self._next is None:
            self._show()
            self._next = asyncio.get_running_loop().call_later(WARN_EVERY_S, self._again)

    def _again(self) -> None:
        self._next = None
        if self._refused:
            self._show()
            self._next = asyncio.get_running_loop().call_later(WARN_EVERY_S, self._again)

    def _show(self) -> None:
        if self._refused:
            reasons = "; ".join(f"{n:,} × {why}" for why, n in self._refused.most_common(5))
            self._console.warn(f"{count(self._refused.total(), 'request')} refused: {reasons}")
            self._refused.clear()


# -- ending --------------------------------------------------------------------------------------------


def _stop(stopped: asyncio.Future[int], code: int) -> None:
    if not stopped.done():
        stopped.set_result(code)


def _read_again(tls: _Certificate) -> None:
    from batcher.cli.terminal.logging_setup import attached

    try:
        tls.read()
    except SettingsError as exc:
        attached().warn(f"the certificate is not read again, the one before stays: {exc}")
    else:
        attached().say("The certificate was read again.")


async def _until(stopped: asyncio.Future[int], confirming: asyncio.Task[None]) -> int:
    """Wait for a signal; a confirmation that dies ends the command loudly."""
    await asyncio.wait((stopped, confirming), return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        confirming.result()
    return stopped.result()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
