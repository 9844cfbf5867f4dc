"""``listen``: receives the service's callbacks until a signal stops it.

The receiver is ``api/listen``; here are the options, the signals and the messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.library_call import named_options
from batcher.errors import SettingsError

if TYPE_CHECKING:
    from batcher.api.listen import CallbackListener
    from batcher.cli.terminal.callback_log import CallbackLog
    from batcher.cli.terminal.console import Console

OPTIONS: Final = {
    "listen_port": o.setting(int, "The port; 0 for a free one. (default: 8080)", "N", "--port"),
    "listen_host": o.setting(
        str, "One of this machine's addresses. (default: 127.0.0.1)", "ADDRESS", "--host"
    ),
    "listen_path": o.setting(str, "Accept callbacks at this path only. (default: any)", "PATH", "--path"),
    "listen_cert": o.setting(
        Path, "Serve TLS with this certificate and its chain, as PEM.", "FILE", "--cert"
    ),
    "listen_key": o.setting(Path, "The certificate's key. (default: in the same file)", "FILE", "--key"),
    "listen_max_body": o.setting(str, "Refuse a longer callback. (default: 512KiB)", "SIZE", "--max-body"),
    "listen_max_age": o.setting(
        str,
        "Refuse a callback whose time differs more from this machine's. (default: 10m)",
        "DURATION",
        "--max-age",
    ),
    "submit_new": o.flag(
        "--submit-new", "Make each recording that a callback names a new submission, for the next run."
    ),
    **o.DEFAULTS,
    **o.COMMON,
}


@command("listen", options=OPTIONS)
async def listen(call: Invocation) -> int:
    """Receive the service's callbacks and confirm what they claim.

    A `snapshot` callback makes its task due for a poll immediately. One that names the recording of a
    submission in doubt settles it, once a poll has confirmed the task. With --submit-new, `record` and
    `compose` callbacks become new submissions, which the next `batcher run` sends: --definition and
    --offset are for recordings at Tencent, --interval for those at Huawei. Works during a run. A callback is
    answered once it is on disk; GET /healthz reports whether the ledger can be read.

    Needs BATCHER_CALLBACK_SECRET (or BATCHER_CALLBACK_SECRET_FILE, or BATCHER_CALLBACK_SECRET_COMMAND),
    which is not the ServerSecret. To confirm, it needs the same account as `batcher run`; without one,
    `batcher track` confirms. SIGHUP reloads the certificate.

    Exit codes: 2 settings, or the address cannot be listened on; 5 another process receives the callbacks
    of this ledger in PostgreSQL; 6 the ledger cannot be used; 130, 143
    stopped by a signal, which is the normal end.

    Example:  batcher listen --submit-new --definition 10 --offset 1
    """
    import asyncio

    from batcher.cli.signals import Signals
    from batcher.cli.terminal.callback_log import CallbackLog

    log = CallbackLog(call.console, call.settings.listen_host)
    listener = _listener(call, log)
    task = asyncio.current_task()

    def stop(_: int) -> None:
        if task is not None and not task.cancelling():  # a second signal must not cut the answers off
            task.cancel()

    def reload() -> None:
        _reload_certificate(listener, call.console)

    hang_up = reload if call.settings.listen_cert else None
    with Signals(stop, hang_up=hang_up) as signals, named_options(_OPTION_OF):
        await listener.run()
    code = signals.code or 0
    log.close(code)
    return code


_OPTION_OF = {
    "host": "--host",
    "port": "--port",
    "path": "--path",
    "cert": "--cert",
    "key": "--key",
    "submit_new": "--submit-new",
}
"""By parameter of the library."""


def _listener(call: Invocation, log: CallbackLog) -> CallbackListener:
    """Return the listener of the settings.

    Raises:
        SettingsError: a setting cannot be used.
    """
    from batcher.api.listen import CallbackListener, ListenSettings
    from batcher.cli.read_options import how_to_read
    from batcher.config.account import has_account, secret_of
    from batcher.config.secrets import CALLBACK_SECRET

    settings = call.settings
    secret = secret_of(settings, CALLBACK_SECRET)
    call.console.redaction.learn(secret)
    account = call.account if has_account(settings) else None
    with named_options(_OPTION_OF):
        return CallbackListener(
            settings.ledger,
            secret,
            account,
            settings=ListenSettings(
                settings.listen_host,
                settings.listen_port,
                settings.listen_path,
                settings.listen_cert,
                settings.listen_key,
                settings.listen_max_body,
                settings.listen_max_age,
            ),
            submit_new=how_to_read(settings).defaults if settings.submit_new else None,
            endpoint=settings.endpoint,
            rate_per_s=settings.rate,
            timeout_s=settings.timeout,
            on_event=log.on_event,
        )


def _reload_certificate(listener: CallbackListener, console: Console) -> None:
    try:
        with named_options(_OPTION_OF):
            listener.reload_certificate()
    except SettingsError as exc:
        console.warn(f"the certificate was not reloaded, the one before stays in use: {exc}")
    else:
        console.say("The certificate was reloaded.")
