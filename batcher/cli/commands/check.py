"""``check``: everything a run needs, looked at before a run does; every finding, not only the first.

Writes nothing, opens no ledger for writing, and makes one call that starts no task. What cannot be looked
at, because something else fails, says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pydantic import SecretStr

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.commands.check_findings import (
    CheckFinding,
    Severity,
    fail,
    fails,
    finding_json,
    finding_text,
    ok,
    shown,
    skip,
    warn,
)
from batcher.cli.commands.check_network import look_at_network
from batcher.cli.notification_targets import hearer_findings
from batcher.cli.terminal.console import Console
from batcher.cli.terminal.text import Volume
from batcher.config.account import account_of
from batcher.config.examine import Examined, examine_settings, strange_text
from batcher.config.secrets import may_be_secret
from batcher.config.settings import Settings
from batcher.errors import BatcherError, LedgerError, LedgerMissing, SettingsError
from batcher.ledger import (
    Holder,
    Readiness,
    Room,
    check_place,
    ledger_path,
    lock_holder,
    network_file_system,
    readiness,
    room,
)
from batcher.model.redaction import redacted_url
from batcher.model.submission import EndpointKind
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import PLACES, count, moment, size
from batcher.zego.client import Account


@command("check")
async def check(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Say what would go wrong before a run does.

    Looks at the settings and where each comes from, the credentials, this machine's clock against the
    service's, the endpoint's name and certificate, the ledger, who holds it, and the disk. Makes one
    signed call that starts no task, writes nothing, and works while a run is going on. With -v all
    settings are listed, with -q only what fails or may.

    Exit codes: 0 a run could begin, warnings or not; 2 something fails, and each such thing is named.

    Example:  batcher check --json
    """
    return await check_all(call.flags, call.given["config"], call.console, as_json=json)


DOCUMENTED_RATE_PER_S = 20
"""Of each call, over everything that shares the AppId. Source: ZEGO server API, "Accessing server APIs"."""

ALWAYS_SHOWN = ("endpoint", "ledger", "rate")
"""These matter also where they are default."""

NOT_READY = 2

_PLACES = ("ledger", "endpoint")
"""Settings whose values are shown whatever they look like."""

_SECRETS = ("server_secret", "server_secret_file", "server_secret_command")
"""What gives the ServerSecret, the first of them that is set."""


async def check_all(
    flags: Mapping[str, object], config: Path | None, console: Console, *, as_json: bool
) -> int:
    """Look at everything and print what was found."""
    examined = examine_settings(flags, config)
    console.configure(examined.settings)
    account, credentials = _account(examined)
    if account is not None:
        console.redaction.learn(account.server_secret)
    findings = [*_installation_findings(), *_settings_findings(examined, console.volume), *credentials]
    if "endpoint" in examined.unsure:
        findings += [
            skip(about, "the endpoint is not known")
            for about in ("DNS", "connection", "TLS", "clock", "call")
        ]
    else:
        findings += await look_at_network(examined.settings, account)
    if "ledger" in examined.unsure:
        findings += [skip(about, "its place is not known") for about in ("ledger", "lock", "disk")]
    else:
        findings += await _ledger_findings(examined)
    findings += hearer_findings(examined)
    if as_json:
        console.data(
            json.dumps({"ready": not fails(findings), **_json(examined, findings)}, ensure_ascii=False)
        )
    else:
        for finding in findings:
            if console.volume > Volume.QUIET or finding.level in (Severity.WARN, Severity.FAIL):
                console.show(*finding_text(finding, console.width).split("\n"))
        console.say(_verdict(findings))
    return NOT_READY if fails(findings) else 0


def _verdict(findings: list[CheckFinding]) -> str:
    failing = sum(finding.level is Severity.FAIL for finding in findings)
    warnings = sum(finding.level is Severity.WARN for finding in findings)
    noted = f", {count(warnings, 'warning')}" if warnings else ""
    if failing:
        return f"{count(failing, 'thing')} to put right before a run{noted}."
    return f"A run can begin{noted}."


def _json(examined: Examined, findings: list[CheckFinding]) -> dict[str, object]:
    return {
        "findings": [finding_json(finding) for finding in findings],
        "settings": {
            name: {"value": _value(name, examined.settings), "from": examined.origins.get(name, "default")}
            for name in type(examined.settings).model_fields
            if name not in examined.unsure
        },
    }


# -- settings -----------------------------------------------------------------------------------------


def _account(examined: Examined) -> tuple[Account | None, list[CheckFinding]]:
    """The account, None when it is not known; and what can be said of it that was not said yet."""
    giver = next((name for name in _SECRETS if getattr(examined.settings, name, None) is not None), None)
    asked = _SECRETS if giver is None else _SECRETS[: _SECRETS.index(giver) + 1]
    unsure = examined.unsure.intersection(("app_id", *asked))
    said = tuple(f"BATCHER_{name.upper()}:" for name in unsure)
    account, problems = None, []
    try:
        app_id, secret = account_of(examined.settings)
        account = Account(app_id, secret, examined.settings.is_test)
    except SettingsError as exc:
        problems = [line for line in str(exc).splitlines() if not line.startswith(said)]
    findings = [fail("credentials", line) for line in problems]
    if giver and not any(line.startswith("BATCHER_SERVER_SECRET") for line in problems):
        place = f"BATCHER_{giver.upper()}{_place_of_secret(giver, examined)}"
        findings.insert(0, ok("credentials", f"the ServerSecret is set ({place})"))
    return (None if unsure else account), findings


def _installation_findings() -> Iterator[CheckFinding]:
    """Warn of the distribution whose name this program once had: it owns the same files."""
    try:
        other = distribution("batcher")
    except PackageNotFoundError:
        return
    yield warn(
        "installation",
        f"the distribution batcher {other.version} is installed too; it and zego-batcher own the same files",
        "uninstall it first (pip uninstall batcher), then install zego-batcher again",
    )


def _settings_findings(examined: Examined, volume: Volume) -> Iterator[CheckFinding]:
    for problem in examined.problems:
        yield fail("settings", problem)
    for variable in examined.strange:
        yield warn("settings", *strange_text(variable))
    for name in Settings.model_fields:
        shown = name in examined.origins or name in ALWAYS_SHOWN or volume is Volume.VERBOSE
        if shown and name not in examined.unsure and name not in _SECRETS:
            yield _setting_finding(name, examined)


def _setting_finding(name: str, examined: Examined) -> CheckFinding:
    settings, origin = examined.settings, examined.origins.get(name)
    text = f"{name}: {_value(name, settings)} ({_origin(name, origin)})"
    if name == "rate" and settings.rate > DOCUMENTED_RATE_PER_S and settings.place is EndpointKind.ZEGO:
        limit = f"the service takes {DOCUMENTED_RATE_PER_S} a second, over everything that shares the AppId"
        return warn("settings", text, limit)
    return ok("settings", text)


def _origin(name: str, origin: str | None) -> str:
    if origin == "command line":
        return "--" + name.replace("_", "-")
    if origin == "environment":
        return f"BATCHER_{name.upper()}"
    if origin == ".env":
        return f"BATCHER_{name.upper()} in .env"
    return origin or "default"


def _place_of_secret(giver: str, examined: Examined) -> str:
    """The file of the secret, which has been read; and where its name was found."""
    of = f" {examined.settings.server_secret_file}" if giver == "server_secret_file" else ""
    return of + (" in .env" if examined.origins.get(giver) == ".env" else "")


def _value(name: str, settings: Settings) -> str | None:
    """A setting as it is shown; secrets, and what URLs may carry of them, are not."""
    value = getattr(settings, name)
    if value is None:
        return None
    if isinstance(value, SecretStr) or "secret" in name or "token" in name or "password" in name:
        return "set"
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    text = str(
        value.value if isinstance(value, Enum) else f"{value:g}" if isinstance(value, float) else value
    )
    if "://" in text:
        text = redacted_url(text) + ("?…" if "?" in text else "")
    return (
        "not shown"
        if may_be_secret(text) and not isinstance(value, Path) and name not in _PLACES
        else shown(text)
    )


# -- the ledger ---------------------------------------------------------------------------------------


async def _ledger_findings(examined: Examined) -> list[CheckFinding]:
    """The ledger, who holds it, and the disk under it."""
    settings = examined.settings
    try:
        path = ledger_path(settings.ledger)
    except SettingsError as exc:
        return [
            fail("ledger", str(exc)),
            *(skip(about, "there is no such place") for about in ("lock", "disk")),
        ]
    findings, found = _ledger(path, examined)
    try:
        findings.append(lock_finding(await lock_holder(path), settings.wait_lock))
    except LedgerError as exc:
        findings.append(fail("lock", str(exc)))
    try:
        findings.append(disk_finding(room(path, found.open if found else 0), found))
    except OSError:
        findings.append(skip("disk", "there is no such folder"))
    return findings


def _ledger(path: Path, examined: Examined) -> tuple[list[CheckFinding], Readiness | None]:
    try:
        check_place(path)
        found = readiness(path)
    except LedgerMissing:
        return [_no_ledger(path, examined)], None
    except BatcherError as exc:
        return [fail("ledger", str(exc))], None
    findings = [ledger_finding(path, found, examined)]
    if kind := network_file_system(path):
        findings.append(
            warn(
                "ledger",
                f"{path}: it is on a network file system ({kind})",
                "locks and syncs are not to be relied on there; keep the ledger on a local disk",
            )
        )
    return findings, found


def _no_ledger(path: Path, examined: Examined) -> CheckFinding:
    remedy = (
        "the first run or load creates it; if there should be one, run in its folder or name it (--ledger)"
    )
    if "ledger" not in examined.origins and not examined.settings.new_ledger:
        remedy += "; without a terminal a run ends with 2 here unless it is named, or --new-ledger is given"
    return warn("ledger", f"{path}: there is none", remedy, exists=False)


def ledger_finding(path: Path, found: Readiness, examined: Examined) -> CheckFinding:
    """The ledger's schema, and whether it belongs to this account and kind of endpoint."""
    settings = examined.settings
    schema = f"schema {found.revision}"
    if found.revision != found.newest:
        option = ledger_option(settings.ledger)
        schema += (
            f", which the next run makes {found.newest} (to keep it: batcher ledger backup{option} FILE)"
        )
    facts = {
        "path": str(path),
        "schema": found.revision,
        "newest_schema": found.newest,
        "app_id": found.bound[0] if found.bound else None,
        "place": found.bound[1].value if found.bound else None,
        "open": found.open,
    }
    if found.bound is None:
        return ok("ledger", f"{path}: {schema}; belongs to no AppId before its first run", **facts)
    app_id, place = found.bound
    text = f"{path}: {schema}; belongs to AppId {app_id} and {PLACES[place]}"
    other_account = settings.app_id not in (None, app_id) and "app_id" not in examined.unsure
    other_place = place is not settings.place and "endpoint" not in examined.unsure
    if other_account or other_place:
        ours = f"AppId {settings.app_id} and {PLACES[settings.place]}"
        remedy = (
            f"use AppId {app_id}, or another --ledger"
            if other_account
            else "use an endpoint of the kind it belongs to, or another --ledger"
        )
        return fail("ledger", f"{text}, and a run now to {ours}", remedy, **facts)
    return ok("ledger", text, **facts)


def lock_finding(holder: Holder | bool, wait_s: float) -> CheckFinding:
    """Whether a run could have the ledger now."""
    if holder is False:
        return ok("lock", "nobody holds the ledger", held=False)
    facts: dict[str, object] = {"held": True}
    who = "another run, whose process cannot be told"
    if isinstance(holder, Holder):
        who = str(holder)
        facts |= {
            "pid": holder.pid,
            "host": holder.host,
            "since": moment(holder.since),
            "command": holder.command,
        }
    then = f"one begun now would wait {wait_s:g} s for it" if wait_s else "one begun now would end with 5"
    return warn("lock", f"held by {who}", f"{then}; --wait-lock says how long to wait", **facts)


def disk_finding(found: Room, ledger: Readiness | None) -> CheckFinding:
    """The room on the disk against what the open work takes."""
    free = f"{size(found.free_bytes)} free"
    facts = {"free_bytes": found.free_bytes, "needed_bytes": found.needed_bytes + found.least_bytes}
    if found.free_bytes < found.least_bytes:
        return fail("disk", f"only {free}; a run needs {size(found.least_bytes)}", "free some space", **facts)
    if ledger is None:
        return ok("disk", free, **facts)
    work = f"{count(ledger.open, 'submission')} to send will take about {size(found.needed_bytes)}"
    if not found.is_enough:
        return fail(
            "disk", f"{free}; {work}", "free some space: a run would stop when the disk is full", **facts
        )
    return ok("disk", f"{free}; {work}", **facts)
