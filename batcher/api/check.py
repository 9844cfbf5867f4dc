"""Checks before a run: the service, and the ledger with its lock and its disk.

Called by programs and by ``batcher check``. Every finding is returned, not only the first problem. Nothing is
written, and the one signed call starts no task.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from batcher.config.endpoints import place_of
from batcher.config.ledger_names import ledger_named
from batcher.errors import BatcherError, LedgerError, LedgerMissing, SettingsError
from batcher.ledger.database import Database, database_of
from batcher.ledger.holding import Holder
from batcher.ledger.preflight import Readiness, readiness
from batcher.model.check import CheckFinding, fail, fails, ok, skip, warn
from batcher.model.ledger_name import LedgerName, PostgresName
from batcher.model.records import Room
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import PLACES, count, duration, moment, size

SERVICE_CHECKS = ("DNS", "connection", "TLS", "clock", "call")
LEDGER_CHECKS = ("ledger", "lock", "disk")


def check_installation() -> list[CheckFinding]:
    """Warn about the distribution whose name this program once had: it owns the same files."""
    try:
        other = distribution("batcher")
    except PackageNotFoundError:
        return []
    return [
        warn(
            "installation",
            f"the distribution batcher {other.version} is installed too; it and zego-batcher own the same "
            "files",
            "uninstall it first (pip uninstall batcher), then install zego-batcher again",
        )
    ]


async def check_ledger(
    ledger: str,
    *,
    app_id: int | None = None,
    endpoint: str | None = None,
    wait_s: float = 0.0,
    may_be_created: bool = True,
) -> list[CheckFinding]:
    """Check the ledger, who holds it, and its disk.

    Args:
        ledger: the ledger.
        app_id: the AppId of the next run; None if it is not known.
        endpoint: the endpoint of the next run; None if it is not known.
        wait_s: how long the next run waits for the lock.
        may_be_created: a run without a terminal creates a missing ledger.
    """
    try:
        name = ledger_named(ledger)
    except SettingsError as exc:
        return [
            fail("ledger", str(exc)),
            *(skip(about, "there is no such place") for about in ("lock", "disk")),
        ]
    found: Readiness | None = None
    database = database_of(name)
    try:
        database.check_place()
        found = readiness(name)
    except LedgerMissing:
        findings = [_missing_finding(name, may_be_created=may_be_created)]
    except BatcherError as exc:
        findings = [fail("ledger", str(exc))]
    else:
        findings = [ledger_finding(name, found, app_id, endpoint), *_file_system_findings(database)]
    if isinstance(name, PostgresName):
        from batcher.api.check_server import server_findings  # with psycopg, which is an extra

        findings += server_findings(name)
    if database.is_shared and fails(findings):
        findings.append(skip("lock", "the server cannot be used"))
        return findings
    try:
        findings.append(lock_finding(await database.holder(), wait_s, joins=database.is_shared))
    except LedgerError as exc:
        findings.append(fail("lock", str(exc)))
    try:
        if (room := database.room(found.open if found else 0)) is not None:
            findings.append(disk_finding(room, found))
    except OSError:
        findings.append(skip("disk", "there is no such folder"))
    return findings


def _missing_finding(name: LedgerName, *, may_be_created: bool) -> CheckFinding:
    remedy = (
        "the first run or load creates it; if there should be one, run in its folder or name it (--ledger)"
    )
    if not may_be_created:
        remedy += "; a run without a terminal exits with 2 here unless it is named, or --new-ledger is given"
    return warn("ledger", f"{name}: there is no ledger", remedy, exists=False)


def _file_system_findings(database: Database) -> list[CheckFinding]:
    kind = database.network_file_system()
    if not kind:
        return []
    remedy = "locks and syncs are not reliable there; keep the ledger on a local disk"
    return [warn("ledger", f"{database.name}: it is on a network file system ({kind})", remedy)]


def ledger_finding(
    name: LedgerName, found: Readiness, app_id: int | None, endpoint: str | None
) -> CheckFinding:
    """Compare the ledger's schema, AppId and kind of endpoint with those of the next run."""
    schema = f"schema {found.revision}"
    if found.revision != found.newest:
        option = ledger_option(name)
        schema += (
            f", which the next run makes {found.newest} (to keep it: batcher ledger backup{option} FILE)"
        )
    facts = {
        "path": str(name),
        "schema": found.revision,
        "newest_schema": found.newest,
        "app_id": found.bound[0] if found.bound else None,
        "place": found.bound[1].value if found.bound else None,
        "open": found.open,
    }
    if found.bound is None:
        return ok("ledger", f"{name}: {schema}; belongs to no AppId before its first run", **facts)
    bound_id, bound_kind = found.bound
    text = f"{name}: {schema}; belongs to AppId {bound_id} and {PLACES[bound_kind]}"
    kind = bound_kind if endpoint is None else place_of(endpoint)
    other_account = app_id not in (None, bound_id)
    if not other_account and kind is bound_kind:
        return ok("ledger", text, **facts)
    remedy = (
        f"use AppId {bound_id}, or another --ledger"
        if other_account
        else "use an endpoint of the kind it belongs to, or another --ledger"
    )
    ours = f"AppId {bound_id if app_id is None else app_id} and {PLACES[kind]}"
    return fail("ledger", f"{text}, and a run now to {ours}", remedy, **facts)


def lock_finding(holder: Holder | bool, wait_s: float, *, joins: bool = False) -> CheckFinding:
    """Report whether a run could have the ledger now.

    Args:
        holder: who holds the ledger.
        wait_s: how long a run waits.
        joins: a run joins others, since several may send on one ledger.
    """
    if holder is False:
        return ok("lock", "no process holds the ledger", held=False)
    facts: dict[str, object] = {"held": True}
    process = "another run, whose process is not known"
    if isinstance(holder, Holder):
        process = str(holder)
        facts |= {
            "pid": holder.pid,
            "host": holder.host,
            "since": moment(holder.since),
            "command": holder.command,
        }
    if joins:
        return ok("lock", f"sending now: {process}; a run now joins it, and --alone refuses to", **facts)
    then = f"a run now would wait {duration(wait_s)} for it" if wait_s else "a run now would have exit code 5"
    return warn("lock", f"held by {process}", f"{then}; --wait-lock sets how long to wait", **facts)


def disk_finding(found: Room, ledger: Readiness | None) -> CheckFinding:
    """Compare the room on the disk with what the open submissions need."""
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
