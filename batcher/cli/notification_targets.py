"""The targets of notifications, pings and metrics, read from the settings.

Called by :mod:`batcher.cli.announcer`, and by ``check``, which reports them. It sends nothing and opens no
port. Only the kind of an address is ever shown, since the rest may be a token.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batcher.config.endpoints import is_loopback
from batcher.config.examine import Examined
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.files import absolute, is_folder, text_of
from batcher.model.check import CheckFinding, ok, warn
from batcher.report.formatting import count
from batcher.requirements import pip_install
from batcher.telemetry.notifications import Hook, NoApprise, NotifyOn, addresses_in, hooks_at


@dataclass(frozen=True, slots=True)
class Target:
    """One address for notifications; nothing of it but its kind may be shown."""

    label: str
    """The name of the target in messages."""
    kind: str
    hook: Hook | None
    """None when apprise does not understand the address."""


@dataclass(frozen=True, slots=True)
class NotificationTargets:
    """Where notifications go."""

    setting: str = ""
    """The setting that names the addresses; empty when there is none."""
    urls: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    """One for each URL; empty when apprise is not installed."""
    problem: str = ""
    """Why there will be no notification, although one is asked for."""
    remedy: str = ""


def targets_of(settings: Settings) -> NotificationTargets:
    """Read where notifications go, from the setting or from the file that it names."""
    path, setting = settings.notify_file, "BATCHER_NOTIFY_FILE"
    remedy = "correct the file or its name"
    if settings.notify is not None:
        setting, text = "BATCHER_NOTIFY", settings.notify.get_secret_value()
    elif path is None:
        return NotificationTargets()
    else:
        try:
            text = text_of(path)
        except SettingsError as exc:
            return NotificationTargets(setting, problem=f"{setting}: {absolute(path)}: {exc}", remedy=remedy)
    urls = tuple(addresses_in(text))
    if not urls:
        problem = "" if settings.notify is not None else f"{setting}: {path}: it holds no URL"
        return NotificationTargets(setting, problem=problem, remedy=remedy)
    try:
        hooks = hooks_at(urls)
    except NoApprise:
        problem = f"{setting}: {count(len(urls), 'URL')}; apprise, which reads them, is not installed"
        return NotificationTargets(setting, urls, problem=problem, remedy=pip_install("apprise"))
    targets = (
        _target(setting, number, *pair) for number, pair in enumerate(zip(urls, hooks, strict=True), 1)
    )
    return NotificationTargets(setting, urls, tuple(targets))


def _target(setting: str, number: int, url: str, hook: Hook | None) -> Target:
    found = re.match(r"([a-z][a-z0-9]{1,19})://", url)
    kind = found[1] if found else ""
    return Target(f"{setting}, URL {number}{f' ({kind})' if kind else ''}", kind or "other", hook)


def target_findings(examined: Examined) -> Iterator[CheckFinding]:
    """Yield the findings about notifications, pings and metrics: what is set, and whether it can work."""
    settings = examined.settings
    if not examined.unsure & {"notify", "notify_file", "notify_on"}:
        yield from _notifications(settings)
    if settings.ping_url is not None and "ping_url" not in examined.unsure:
        yield ok("ping", "BATCHER_PING_URL is set; run, load and track ping it at their start and end")
    if settings.metrics_port is not None and not examined.unsure & {"metrics_port", "metrics_host"}:
        yield _served(settings.metrics_host, settings.metrics_port)
    if settings.metrics_file is not None and "metrics_file" not in examined.unsure:
        yield _written(settings.metrics_file)


def _notifications(settings: Settings) -> Iterator[CheckFinding]:
    found = targets_of(settings)
    if found.problem:
        yield warn("notify", f"{found.problem}; there would be no notification", found.remedy)
    for target in found.targets:
        if target.hook is None:
            text = f"{target.label}: apprise does not understand it"
            yield warn("notify", text, "correct it, or remove it")
    kinds = Counter(target.kind for target in found.targets if target.hook is not None)
    understood = [f"{n} × {kind}" if n > 1 else kind for kind, n in kinds.items()]
    if understood:
        yield ok(
            "notify",
            f"{found.setting}: {', '.join(understood)}; {_WHEN_NOTIFIED[NotifyOn(settings.notify_on)]}",
        )


_WHEN_NOTIFIED = {
    NotifyOn.FAILURE: "sent when you must act (BATCHER_NOTIFY_ON=failure)",
    NotifyOn.HALT: "sent when a run halts (BATCHER_NOTIFY_ON=halt)",
    NotifyOn.ALWAYS: "sent at every end (BATCHER_NOTIFY_ON=always)",
    NotifyOn.NEVER: "never sent (BATCHER_NOTIFY_ON=never)",
}


def _served(host: str, port: int) -> CheckFinding:
    where = (
        f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics" if port else f"a free port of {host}"
    )
    text = f"metrics are served at {where} during a run"
    if is_loopback(host):
        return ok("metrics", text)
    return warn("metrics", text, "there is no password: open it only to a network that you trust")


def _written(path: Path) -> CheckFinding:
    folder = path.resolve().parent
    if is_folder(path):
        return warn("metrics", f"{path}: it is a folder, so metrics cannot be written", "name a file")
    if not is_folder(folder):
        return warn("metrics", f"{path}: no such folder, so metrics cannot be written", f"make {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"give {folder} to the user that runs batcher, or name another"
        return warn("metrics", f"{path}: this user cannot write there, so metrics cannot be written", remedy)
    return ok("metrics", f"metrics are written to {path}")
