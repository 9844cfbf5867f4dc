"""``batcher check``: everything a run needs, checked before a run; every finding, not only the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batcher.cli import options as o
from batcher.cli.command import Invocation, command
from batcher.cli.terminal.text import Volume
from batcher.exit_codes import ExitCode
from batcher.model.check import CheckFinding, CheckLevel, fails, skip
from batcher.report.check_text import finding_json, finding_text, verdict_text

if TYPE_CHECKING:
    from batcher.cli.terminal.console import Console
    from batcher.config.examine import Examined


@command("check")
async def check(
    call: Invocation,
    json: o.Json = False,
) -> int:
    """Show what would go wrong before a run does.

    Checks the settings and where each comes from, the credentials, this machine's clock against the
    service's, the endpoint's name and certificate, the ledger, who holds it, and the disk. Makes one
    signed call that starts no task, writes nothing, and works while a run is in progress. With -v all
    settings are listed, with -q only failures and warnings.

    Exit codes: 0 a run could begin, warnings or not; 2 something fails, and each such thing is named.

    Example:  batcher check --json
    """
    from batcher.config.settings_findings import settings_json

    examined = call.examined
    call.console.configure(examined.settings)
    findings = await _findings(examined, call.console)
    ready = not fails(findings)
    if json:
        settings = settings_json(examined)
        value = {"ready": ready, "findings": [finding_json(one) for one in findings], "settings": settings}
        call.console.data(value)
    else:
        _show(findings, call.console)
        call.console.say(verdict_text(findings))
    return ExitCode.DONE if ready else ExitCode.USAGE


_NO_ROOM = "this process may have too few files open"


async def _findings(examined: Examined, console: Console) -> list[CheckFinding]:
    """Check everything whose settings are known."""
    from batcher.api.check import LEDGER_CHECKS, SERVICE_CHECKS, check_installation, check_ledger
    from batcher.api.check_service import check_service
    from batcher.cli.descriptors import descriptor_findings, has_room
    from batcher.cli.notification_targets import target_findings
    from batcher.config.settings_findings import credentials, settings_findings
    from batcher.zego.client import Account

    settings, unsure = examined.settings, examined.unsure
    known, credential_findings = credentials(examined)
    account = None
    if known is not None:
        console.redaction.learn(known[1])
        account = Account(*known, settings.is_test)
    findings = [
        *check_installation(),
        *settings_findings(examined, all_settings=console.volume is Volume.VERBOSE),
        *credential_findings,
        *descriptor_findings(settings),
    ]
    if not has_room():
        return [*findings, *(skip(about, _NO_ROOM) for about in (*SERVICE_CHECKS, *LEDGER_CHECKS))]
    if "endpoint" in unsure:
        findings += [skip(about, "the endpoint is not known") for about in SERVICE_CHECKS]
    else:
        findings += await check_service(account, endpoint=settings.endpoint, timeout_s=settings.timeout)
    if "ledger" in unsure:
        findings += [skip(about, "its place is not known") for about in LEDGER_CHECKS]
    else:
        findings += await check_ledger(
            settings.ledger,
            app_id=None if "app_id" in unsure else settings.app_id,
            endpoint=None if "endpoint" in unsure else settings.endpoint,
            wait_s=settings.wait_lock,
            may_be_created="ledger" in examined.origins or settings.new_ledger,
        )
    return [*findings, *target_findings(examined)]


def _show(findings: list[CheckFinding], console: Console) -> None:
    for finding in findings:
        if console.volume > Volume.QUIET or finding.level in (CheckLevel.WARN, CheckLevel.FAIL):
            console.show(*finding_text(finding, console.width).split("\n"))
