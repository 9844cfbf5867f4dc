"""Notifications and pings for one command: at its start, and at its end with the exit code.

Called by the command line around ``run``, ``load``, ``track`` and ``retry``; the calls themselves are made by
:mod:`batcher.telemetry.notifications`. A hook that fails gives one warning at the end of the command, and
changes neither its result nor its exit code.
"""

from __future__ import annotations

import platform
from functools import partial

from batcher._version import __version__
from batcher.cli.command import Closing
from batcher.cli.notification_targets import targets_of
from batcher.cli.terminal.console import Console
from batcher.config.ledger_names import ledger_named
from batcher.config.settings import Settings
from batcher.errors import BatcherError
from batcher.exit_codes import ExitCode
from batcher.model.submission import SETTLED, State
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import count, sentence
from batcher.report.summary import RunSummary
from batcher.report.tracking_summary import task_counts
from batcher.telemetry.notifications import (
    LONGEST_BODY,
    Hook,
    HookCalls,
    Note,
    NotifyOn,
    is_failure,
    is_notified,
    ping,
    ping_at,
)

_AGENT = f"batcher/{__version__}"


PINGING = ("run", "load", "track")
"""The commands that are pinged: each does the work of a night by itself, so a monitor can wait for it.
``retry`` only prepares a run, so it must not turn a check green."""


class Announcer:
    """The notifications and pings of one command.

    A command whose settings are wrong is announced, too.

    Args:
        command: the name of the command.
        settings: with defaults in place of what is wrong.
        console: gets one warning for each hook that failed, and learns the addresses to redact them.
    """

    def __init__(self, command: str, settings: Settings, console: Console) -> None:
        self._command = command
        self._title = "batcher" if command == "run" else f"batcher {command}"
        self._console = console
        self._settings = settings
        self._notify_on = NotifyOn(self._settings.notify_on)
        self._calls = HookCalls()
        self._closing: Closing | None = None
        self._ping_url = self._address_of_pings() if command in PINGING else None
        self._hooks = {} if self._notify_on is NotifyOn.NEVER else self._find_hooks()

    def begin(self) -> None:
        """Ping the start of the command, without waiting for the answer."""
        if self._ping_url:
            self._ping("start")

    def record(self, closing: Closing) -> None:
        """Record the end of the command, for :meth:`end`."""
        self._closing = closing

    def end(self, exit_code: int, problem: str) -> None:
        """Send the notifications and the ping for the end of the command, and wait for them, with a limit.

        Args:
            exit_code: of the command.
            problem: what was wrong, when no end was recorded.
        """
        failed = exit_code != 0 and (
            exit_code != ExitCode.WORK_LEFT or is_failure(exit_code, bounded=self._bounded)
        )
        if self._ping_url:
            self._ping(*([str(exit_code)] if failed else []))
        if self._hooks and is_notified(self._notify_on, exit_code, bounded=self._bounded):
            note = self._note(exit_code, problem)
            for name, hook in self._hooks.items():
                self._calls.begin(name, partial(hook, note))
        for failure in self._calls.wait():
            self._console.warn(f"{failure}. The {self._command} is not affected")

    def _ping(self, *more: str) -> None:
        url = ping_at(self._ping_url or "", *more)
        self._calls.begin("BATCHER_PING_URL: the ping did not arrive", partial(ping, url, _AGENT))

    def _address_of_pings(self) -> str | None:
        if self._settings.ping_url is None:
            return None
        url = self._settings.ping_url.get_secret_value()
        self._console.redaction.learn_url(url)
        return url

    @property
    def _bounded(self) -> bool:
        """Whether the run had a limit of its own, so that work left is not a failure."""
        given = self._settings
        if self._closing is not None and self._closing.blocked_by_outage:
            return False  # the outage, not the limit, is why work is left
        if self._closing is not None and self._closing.on_purpose:
            return True
        return any(end is not None for end in (given.limit, given.max_duration, given.until))

    def _find_hooks(self) -> dict[str, Hook]:
        """Return the hooks, each by the beginning of its warning."""
        found = targets_of(self._settings)
        self._console.redaction.learn(*found.urls)
        if found.problem:
            remedy = f"; {found.remedy}" if found.urls else ""
            self._console.warn(f"{found.problem}; there will be no notification{remedy}")
        hooks = {}
        for target in found.targets:
            if target.hook is None:
                self._console.warn(
                    f"{target.label}: apprise does not understand it, and no notification will go there; "
                    "correct it"
                )
            else:
                hooks[f"{target.label}: the notification was not sent"] = target.hook
        return hooks

    def _note(self, exit_code: int, problem: str) -> Note:
        """Return a notification: what happened, where, and what to do, in one line."""
        ledger = self._settings.ledger
        where = f"Host {platform.node()}, ledger {_whole(ledger)}."
        closing = self._closing or Closing(problem)
        remedy = _REMEDIES.get(exit_code, "").format(
            option=ledger_option(ledger), again=self._again(ledger_option(ledger))
        )
        happened = sentence(_one_line(closing.reason))
        body = " ".join(part for part in (happened, closing.figures, where, remedy) if part)
        redacted = self._console.redaction(body)
        kept = redacted if len(redacted) <= LONGEST_BODY else redacted[: LONGEST_BODY - 1] + "…"
        failed = is_failure(exit_code, bounded=self._bounded)
        kind = "failure" if failed else "success" if exit_code == 0 else "warning"
        return Note(f"{self._title}: {_TITLES.get(exit_code, 'ended')} (exit code {exit_code})", kept, kind)

    def _again(self, option: str) -> str:
        """Return the command that resumes the work."""
        return f"batcher run{option}" if self._command == "run" else f"the same {self._title} again"


_TITLES: dict[int, str] = {
    ExitCode.DONE: "all done",
    ExitCode.TROUBLE: "done, with new problems",
    ExitCode.USAGE: "could not run",
    ExitCode.HALTED: "halted",
    ExitCode.WORK_LEFT: "stopped with work left",
    ExitCode.LEDGER_BUSY: "another run holds the ledger",
    ExitCode.LEDGER: "the ledger cannot be used",
    ExitCode.DEFECT: "a defect",
    ExitCode.SIGINT: "stopped by Ctrl-C",
    ExitCode.SIGTERM: "stopped by a signal",
}

_REMEDIES: dict[int, str] = {
    ExitCode.TROUBLE: "List them: batcher status{option}",
    ExitCode.HALTED: "Fix this, then resume: {again}",
    ExitCode.WORK_LEFT: "Resume: {again}",
    ExitCode.LEDGER: "Fix this, then resume: {again}",
    ExitCode.SIGINT: "Resume: {again}",
    ExitCode.SIGTERM: "Resume: {again}",
}
"""The remedy, where the reason does not include it."""


def closing_of(summary: RunSummary) -> Closing:
    """Return the end of a run, from its summary."""
    run, now = summary.this_run.by_state, summary.now
    counted = [
        f"{run[state]:,} {state.value.replace('_', ' ')}"
        for state in SETTLED
        if run[state] or state is State.SUBMITTED
    ]
    invalid = [count(summary.invalid_rows.new, "new invalid row")] if summary.invalid_rows.new else []
    figures = f"This run: {', '.join([*counted, *invalid])}; {now.open:,} left to send."
    if summary.tracking is not None:
        figures += f" {task_counts(summary.tracking.tasks)}"
    return Closing(summary.reason, figures, summary.blocked_by_outage, summary.only_tasks_left)


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _whole(ledger: str) -> str:
    try:
        return str(ledger_named(ledger))
    except (BatcherError, OSError):
        return ledger
