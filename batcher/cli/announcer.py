"""A command seen from elsewhere: who is told that it begins and how it ended, when nobody sits before it.

Between the command line, which knows the exit code and what was said, and
:mod:`batcher.telemetry.notifications`. A hook that fails is complained of once, when the command is over,
and changes nothing of it or its exit code.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from batcher._version import __version__
from batcher.cli.notification_targets import addresses_of, kind_of
from batcher.cli.terminal.console import Console
from batcher.config.settings import Settings
from batcher.errors import BatcherError
from batcher.ledger import ledger_path
from batcher.model.submission import State
from batcher.report.command_lines import ledger_option
from batcher.report.formatting import count, sentence
from batcher.report.summary import Summary
from batcher.requirements import pip_install
from batcher.telemetry.notifications import (
    LONGEST_BODY,
    WORK_LEFT,
    Hook,
    HookCalls,
    NoApprise,
    Note,
    NotifyOn,
    hooks_at,
    is_failure,
    is_wanted,
    ping,
    ping_at,
)

_AGENT = f"batcher/{__version__}"


@dataclass(frozen=True, slots=True)
class Announced:
    """A command that is told of."""

    command: str
    ping: bool = True
    """It does the work of a night by itself: a monitor can wait for it."""

    def __str__(self) -> str:
        """Its name, as a notification begins."""
        return "batcher" if self.command == "run" else f"batcher {self.command}"


ANNOUNCED = {
    one.command: one
    for one in (
        Announced("run"),
        Announced("load"),
        Announced("track"),
        Announced("retry", ping=False),  # it only prepares a run: no check may turn green by it
    )
}
"""The commands that are told of, by their names."""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a command ended that could sum itself up."""

    reason: str
    figures: str = ""
    blocked_by_outage: bool = False
    """Work is left that could not be got at; else it is left on purpose."""
    on_purpose: bool = False
    """What is left is left on purpose, whatever end was set: tasks end when they end."""


OnClosing = Callable[[Closing], None]


class Announcer:
    """Tells of one command: that it begins, and how it ended.

    A command whose settings are wrong is announced, too.

    Args:
        of: the command.
        settings: with defaults in place of what is wrong.
        console: told, once each, what could not be sent; taught the addresses, so that nothing shows them.
    """

    def __init__(self, of: Announced, settings: Settings, console: Console) -> None:
        self._of = of
        self._console = console
        self._settings = settings
        self._notify_on = NotifyOn(self._settings.notify_on)
        self._errands = HookCalls()
        self._closing: Closing | None = None
        self._ping_url = self._address_of_pings() if of.ping else None
        self._hooks = {} if self._notify_on is NotifyOn.NEVER else self._find_hooks()

    def begin(self) -> None:
        """Tell that the command begins; nobody waits for that."""
        if self._ping_url:
            self._ping("start")

    def record(self, closing: Closing) -> None:
        """Take in how the command ended, in its own words."""
        self._closing = closing

    def end(self, exit_code: int, said: str) -> None:
        """Tell how the command ended, and wait a little until that has arrived.

        Args:
            exit_code: of the command.
            said: what was wrong, when it could not sum itself up.
        """
        failed = exit_code != 0 and (exit_code != WORK_LEFT or is_failure(exit_code, bounded=self._bounded))
        if self._ping_url:
            self._ping(*([str(exit_code)] if failed else []))
        if self._hooks and is_wanted(self._notify_on, exit_code, bounded=self._bounded):
            note = self._note(exit_code, said)
            for name, hook in self._hooks.items():
                self._errands.begin(name, partial(hook, note))
        for problem in self._errands.wait():
            self._console.warn(f"{problem}. The {self._of.command} is not affected")

    def _ping(self, *more: str) -> None:
        url = ping_at(self._ping_url or "", *more)
        self._errands.begin("BATCHER_PING_URL: the ping did not arrive", partial(ping, url, _AGENT))

    def _address_of_pings(self) -> str | None:
        if self._settings.ping_url is None:
            return None
        url = self._settings.ping_url.get_secret_value()
        self._console.redaction.learn_url(url)
        return url

    @property
    def _bounded(self) -> bool:
        """Whether the run was given an end before its work's."""
        given = self._settings
        if self._closing is not None and self._closing.blocked_by_outage:
            return False  # not its end is why work is left
        if self._closing is not None and self._closing.on_purpose:
            return True
        return any(end is not None for end in (given.limit, given.max_duration, given.until))

    def _find_hooks(self) -> dict[str, Hook]:
        """The hooks, each by the words under which it is complained of."""
        found = addresses_of(self._settings)
        self._console.redaction.learn(*found.urls)
        if found.problem:
            self._console.warn(f"{found.problem}; there will be no notification")
        if not found.urls:
            return {}
        try:
            understood = hooks_at(found.urls)
        except NoApprise:
            self._console.warn(
                f"{found.setting}: there will be no notification: apprise is not installed; "
                + pip_install("apprise")
            )
            return {}
        hooks = {}
        for number, (address, hook) in enumerate(zip(found.urls, understood, strict=True), start=1):
            named = f"{found.setting}, URL {number}{kind_of(address)}"
            if hook is None:
                self._console.warn(
                    f"{named}: apprise does not understand it, and no notification will go there; correct it"
                )
            else:
                hooks[f"{named}: the notification was not sent"] = hook
        return hooks

    def _note(self, exit_code: int, said: str) -> Note:
        """One line that says what happened, where, and what to do."""
        ledger = self._settings.ledger
        where = f"Host {platform.node()}, ledger {_whole(ledger)}."
        closing = self._closing or Closing(said)
        then = _THEN.get(exit_code, "").format(
            option=ledger_option(ledger), again=self._again(ledger_option(ledger))
        )
        happened = sentence(_one_line(closing.reason))
        body = " ".join(part for part in (happened, closing.figures, where, then) if part)
        redacted = self._console.redaction(body)
        kept = redacted if len(redacted) <= LONGEST_BODY else redacted[: LONGEST_BODY - 1] + "…"
        failed = is_failure(exit_code, bounded=self._bounded)
        kind = "failure" if failed else "success" if exit_code == 0 else "warning"
        return Note(f"{self._of}: {_TITLES.get(exit_code, 'ended')} (exit code {exit_code})", kept, kind)

    def _again(self, option: str) -> str:
        """What goes on with the work."""
        return f"batcher run{option}" if self._of.command == "run" else f"the same {self._of} again"


_TITLES = {
    0: "all done",
    1: "done, with new problems",
    2: "could not run",
    3: "halted",
    4: "stopped with work left",
    5: "another run holds the ledger",
    6: "the ledger cannot be used",
    70: "a defect",
    130: "stopped by Ctrl-C",
    143: "stopped from outside",
}

_THEN = {
    1: "What they are: batcher status{option}",
    3: "Correct that, then go on: {again}",
    4: "Go on: {again}",
    6: "Correct that, then go on: {again}",
    130: "Go on: {again}",
    143: "Go on: {again}",
}
"""What to do, where the reason does not say it."""


def closing_of(summary: Summary) -> Closing:
    """How a run ended."""
    run, now = summary.this_run.by_state, summary.now
    counted = [
        f"{run[state]:,} {word}"
        for state, word in _SHOWN_STATES.items()
        if run[state] or state is State.SUBMITTED
    ]
    invalid = [count(summary.invalid_rows.new, "new invalid row")] if summary.invalid_rows.new else []
    figures = f"This run: {', '.join([*counted, *invalid])}; {now.open:,} left to send."
    if (tracking := summary.tracking) is not None:
        tasks = [f"{n:,} {state.value}" for state, n in tracking.tasks.by_state.items() if n]
        figures += f" Tasks: {', '.join(tasks) or 'none'}."
    return Closing(summary.reason, figures, summary.blocked_by_outage, summary.only_tasks_left)


_SHOWN_STATES = {
    State.SUBMITTED: "submitted",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.IN_DOUBT: "in doubt",
}


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _whole(ledger: str) -> str:
    try:
        return str(ledger_path(ledger).resolve())
    except (BatcherError, OSError):
        return ledger
