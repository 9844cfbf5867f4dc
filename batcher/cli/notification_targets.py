"""Who would hear of a run: notifications, pings and figures, as the settings have them.

Between the settings and whoever announces a command or looks at everything before one. It sends nothing and
listens nowhere; of an address only its kind is ever shown, since the rest may be a token.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from batcher.config.examine import Examined
from batcher.config.settings import Settings
from batcher.model.check import CheckFinding, ok, warn
from batcher.report.formatting import count
from batcher.requirements import pip_install
from batcher.telemetry.notifications import NoApprise, NotifyOn, addresses_in, hooks_at


@dataclass(frozen=True, slots=True)
class NotificationTargets:
    """Where notifications go."""

    setting: str = ""
    """Which says so; empty when none does."""
    urls: tuple[str, ...] = ()
    problem: str = ""
    """Why there are none, although there should be."""


def addresses_of(settings: Settings) -> NotificationTargets:
    """Where notifications go, read from the setting or from the file that it names."""
    if settings.notify is not None:
        return NotificationTargets("BATCHER_NOTIFY", tuple(addresses_in(settings.notify.get_secret_value())))
    path, setting = settings.notify_file, "BATCHER_NOTIFY_FILE"
    if path is None:
        return NotificationTargets()
    try:
        urls = tuple(addresses_in(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not plain text"
        return NotificationTargets(setting, problem=f"{setting}: {path}: {why}")
    return NotificationTargets(setting, urls, "" if urls else f"{setting}: {path}: it holds no URL")


def kind_of(address: str) -> str:
    """What kind of hook an address is of, in brackets; nothing else of it is shown."""
    found = re.match(r"([a-z][a-z0-9]{1,19})://", address)
    return f" ({found[1]})" if found else ""


def hearer_findings(examined: Examined) -> Iterator[CheckFinding]:
    """What notifications, pings and figures are in force, and whether their settings lead anywhere."""
    settings = examined.settings
    if not examined.unsure & {"notify", "notify_file", "notify_on"}:
        yield from _notifications(settings)
    if settings.ping_url is not None and "ping_url" not in examined.unsure:
        yield ok("ping", "BATCHER_PING_URL can be read; run and load tell it their begin and end")
    if settings.metrics_port is not None and not examined.unsure & {"metrics_port", "metrics_host"}:
        yield _served(settings.metrics_host, settings.metrics_port)
    if settings.metrics_file is not None and "metrics_file" not in examined.unsure:
        yield _kept(settings.metrics_file)


def _notifications(settings: Settings) -> Iterator[CheckFinding]:
    found = addresses_of(settings)
    if found.problem:
        yield warn(
            "notify", f"{found.problem}; there would be no notification", "correct the file or its name"
        )
    if not found.urls:
        return
    try:
        hooks = hooks_at(found.urls)
    except NoApprise:
        yield warn(
            "notify",
            f"{found.setting}: {count(len(found.urls), 'URL')}; apprise, which reads them, is not installed",
            f"{pip_install('apprise')}; without it there is no notification",
        )
        return
    kinds = Counter[str]()
    for number, (url, hook) in enumerate(zip(found.urls, hooks, strict=True), start=1):
        kinds[kind_of(url).strip(" ()") or "other"] += hook is not None
        if hook is None:
            named = f"{found.setting}, URL {number}{kind_of(url)}"
            yield warn("notify", f"{named}: apprise does not understand it", "correct it, or take it away")
    understood = [f"{n} × {kind}" if n > 1 else kind for kind, n in kinds.items() if n]
    if understood:
        yield ok(
            "notify",
            f"{found.setting}: {', '.join(understood)}; {_WHEN_NOTIFIED[NotifyOn(settings.notify_on)]}",
        )


_WHEN_NOTIFIED = {
    NotifyOn.FAILURE: "told when somebody has something to do (BATCHER_NOTIFY_ON=failure)",
    NotifyOn.HALT: "told when going on would be wrong (BATCHER_NOTIFY_ON=halt)",
    NotifyOn.ALWAYS: "told of every end (BATCHER_NOTIFY_ON=always)",
    NotifyOn.NEVER: "never told, since BATCHER_NOTIFY_ON=never",
}


def _served(host: str, port: int) -> CheckFinding:
    where = (
        f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics" if port else f"a free port of {host}"
    )
    text = f"figures are served at {where} while a run goes on"
    if _is_ours_alone(host):
        return ok("metrics", text)
    return warn("metrics", text, "there is no password: open it only to a network that you trust")


def _is_ours_alone(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept(path: Path) -> CheckFinding:
    folder = path.resolve().parent
    if path.is_dir():
        return warn("metrics", f"{path}: it is a folder, and no figures would be kept", "name a file")
    if not folder.is_dir():
        return warn("metrics", f"{path}: no such folder, and no figures would be kept", f"make {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"give {folder} to the user that runs batcher, or name another"
        return warn("metrics", f"{path}: this user cannot write there; no figures would be kept", remedy)
    return ok("metrics", f"figures are kept in {path}")
