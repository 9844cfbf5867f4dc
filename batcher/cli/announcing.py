"""``run`` seen from elsewhere: who is told that it begins and how it ended, when nobody sits before it.

Between the command line, which knows the exit code and what was said, and :mod:`batcher.notifying`. A hook
that fails is complained of once, when the run is over, and changes nothing of the run or its exit code.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from batcher import __version__
from batcher.cli.console import Console
from batcher.errors import BatcherError
from batcher.ledger import ledger_path
from batcher.model import State
from batcher.notifying import (
    LONGEST_BODY,
    WORK_LEFT,
    Errands,
    Hook,
    NoApprise,
    Note,
    Occasion,
    addresses_in,
    hooks_at,
    is_failure,
    is_wanted,
    ping,
    ping_at,
)
from batcher.report.summary import Summary, ledger_option
from batcher.report.words import count, sentence
from batcher.settings import examine_settings

_AGENT = f"batcher/{__version__}"


class Announcer:
    """Tells of one run: that it begins, and how it ended.

    Settings are looked at here by themselves, since a run whose settings are wrong is told of, too.

    Args:
        flags: what was given on the command line.
        config: the file of settings.
        console: told, once each, what could not be sent; taught the addresses, so that nothing shows them.
    """

    def __init__(self, flags: Mapping[str, object], config: Path | None, console: Console) -> None:
        self._console = console
        self._settings = examine_settings(flags, config).settings
        self._occasion = Occasion(self._settings.notify_on)
        self._errands = Errands()
        self._summary: Summary | None = None
        self._ping_url = self._settings.ping_url.get_secret_value() if self._settings.ping_url else None
        if self._ping_url:
            console.redaction.learn(self._ping_url, _secret_part(self._ping_url))
        self._hooks = {} if self._occasion is Occasion.NEVER else self._find_hooks()

    def begin(self) -> None:
        """Tell that a run begins; nobody waits for that."""
        if self._ping_url:
            self._ping("start")

    def heed(self, summary: Summary) -> None:
        """Take in how a run ended that could sum itself up."""
        self._summary = summary

    def end(self, exit_code: int, said: str) -> None:
        """Tell how a run ended, and wait a little until that has arrived.

        Args:
            exit_code: of the command.
            said: what was wrong, when the run could not sum itself up.
        """
        failed = exit_code != 0 and (exit_code != WORK_LEFT or is_failure(exit_code, bounded=self._bounded))
        if self._ping_url:
            self._ping(*([str(exit_code)] if failed else []))
        if self._hooks and is_wanted(self._occasion, exit_code, bounded=self._bounded):
            note = self._note(exit_code, said)
            for name, hook in self._hooks.items():
                self._errands.begin(name, partial(hook, note))
        for problem in self._errands.wait():
            self._console.warn(f"{problem}. The run is not affected")

    def _ping(self, *more: str) -> None:
        url = ping_at(self._ping_url or "", *more)
        self._errands.begin("BATCHER_PING_URL: the ping did not arrive", partial(ping, url, _AGENT))

    @property
    def _bounded(self) -> bool:
        """Whether the run was given an end before its work's."""
        given = self._settings
        if self._summary is not None and self._summary.unanswered:
            return False  # not its end is why work is left
        return any(end is not None for end in (given.limit, given.max_duration, given.until))

    def _find_hooks(self) -> dict[str, Hook]:
        """The hooks, each by the words under which it is complained of."""
        name, addresses = self._addresses()
        self._console.redaction.learn(*addresses)
        if not addresses:
            return {}
        try:
            found = hooks_at(addresses)
        except NoApprise:
            self._console.warn(
                f"{name}: there will be no notification: apprise is not installed; "
                "pip install 'batcher[notify]'"
            )
            return {}
        hooks = {}
        for number, (address, hook) in enumerate(zip(addresses, found, strict=True), start=1):
            if hook is None:
                self._console.warn(
                    f"{name}, URL {number}{_kind(address)}: apprise does not understand it, and no "
                    "notification will go there; correct it"
                )
            else:
                hooks[f"{name}, URL {number}{_kind(address)}: the notification was not sent"] = hook
        return hooks

    def _addresses(self) -> tuple[str, list[str]]:
        """Where notifications go, and which setting says so."""
        if self._settings.notify is not None:
            return "BATCHER_NOTIFY", addresses_in(self._settings.notify.get_secret_value())
        path = self._settings.notify_file
        if path is None:
            return "", []
        try:
            addresses = addresses_in(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not plain text"
            self._console.warn(f"BATCHER_NOTIFY_FILE: {path}: {why}; there will be no notification")
            return "", []
        if not addresses:
            self._console.warn(f"BATCHER_NOTIFY_FILE: {path}: it holds no URL; there will be no notification")
        return "BATCHER_NOTIFY_FILE", addresses

    def _note(self, exit_code: int, said: str) -> Note:
        """One line that says what happened, where, and what to do."""
        ledger = self._settings.ledger
        where = f"Host {platform.node()}, ledger {_whole(ledger)}."
        happened = [sentence(_one_line(self._summary.reason if self._summary else said))]
        if self._summary:
            happened.append(_figures(self._summary))
        then = _THEN.get(exit_code, "").format(option=ledger_option(ledger))
        body = " ".join(part for part in (*happened, where, then) if part)
        redacted = self._console.redaction(body)
        kept = redacted if len(redacted) <= LONGEST_BODY else redacted[: LONGEST_BODY - 1] + "…"
        failed = is_failure(exit_code, bounded=self._bounded)
        kind = "failure" if failed else "success" if exit_code == 0 else "warning"
        return Note(f"batcher: {_TITLES.get(exit_code, 'ended')} (exit code {exit_code})", kept, kind)


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
    3: "Correct that, then go on: batcher run{option}",
    4: "Go on: batcher run{option}",
    6: "Correct that, then go on: batcher run{option}",
    130: "Go on: batcher run{option}",
    143: "Go on: batcher run{option}",
}
"""What to do, where the reason does not say it."""


def _figures(summary: Summary) -> str:
    run, now = summary.this_run.by_state, summary.now
    told = [
        f"{run[state]:,} {word}" for state, word in _TOLD.items() if run[state] or state is State.SUBMITTED
    ]
    invalid = [count(summary.invalid_rows.new, "new invalid row")] if summary.invalid_rows.new else []
    return f"This run: {', '.join([*told, *invalid])}; {now.open:,} left to send."


_TOLD = {
    State.SUBMITTED: "submitted",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.IN_DOUBT: "in doubt",
}


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _kind(address: str) -> str:
    """What kind of hook an address is of; nothing else of it is shown."""
    found = re.match(r"([a-z][a-z0-9]{1,19})://", address)
    return f" ({found[1]})" if found else ""


def _secret_part(url: str) -> str:
    """What of an address is the secret, when its host is known to all."""
    return url.split("://", 1)[-1].partition("/")[2]


def _whole(ledger: str) -> str:
    try:
        return str(ledger_path(ledger).resolve())
    except (BatcherError, OSError):
        return ledger
