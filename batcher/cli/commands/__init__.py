"""Commands: one file for each, named like it, and the table of them that the help shows.

A command's file is imported when the command is called, so that ``batcher --help`` imports none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAIN, RESULTS, REHEARSING, UPKEEP = "The main job", "Results", "Rehearsing", "Upkeep"
"""The headings of the help."""


class CommandSummary(NamedTuple):
    """One command as the help lists it."""

    panel: str
    """Its heading."""
    text: str
    """The first sentence of its help."""


COMMANDS: Final = {
    "run": CommandSummary(MAIN, "Load manifests and submit everything that is open."),
    "load": CommandSummary(MAIN, "Load manifests into the ledger; send nothing."),
    "check": CommandSummary(MAIN, "Say what would go wrong before a run does."),
    "retry": CommandSummary(
        MAIN, "Put failed and rejected submissions back in the queue, with a fresh budget of tries."
    ),
    "discover": CommandSummary(MAIN, "List the recordings that exist, as a manifest."),
    "verify-ids": CommandSummary(MAIN, "Check a manifest's Tencent ids before paying for them."),
    "track": CommandSummary(MAIN, "Ask what has become of the tasks, until all have ended."),
    "listen": CommandSummary(MAIN, "Receive the service's callbacks and confirm what they claim."),
    "status": CommandSummary(
        RESULTS, "Say how many submissions stand where, what came back, and how long the rest will take."
    ),
    "export": CommandSummary(
        RESULTS, "Write the results, one row for each submission, or for each row of a manifest."
    ),
    "show": CommandSummary(
        RESULTS, "Say everything known of one recording: what was asked, every attempt, codes and RequestIds."
    ),
    "fetch": CommandSummary(RESULTS, "Fetch the pictures of finished tasks into a folder."),
    "report": CommandSummary(
        RESULTS, "Draw everything that the ledger knows on one page, to be looked at in a browser."
    ),
    "audit": CommandSummary(
        RESULTS, "Add everything up on one page: what was submitted once, perhaps twice, or is not known."
    ),
    "codes": CommandSummary(
        RESULTS, "Say what a return code means and what batcher does about it, in English and in Chinese."
    ),
    "demo": CommandSummary(REHEARSING, "Rehearse everything on this machine, without an account."),
    "sandbox": CommandSummary(REHEARSING, "Serve the documented API on this machine."),
    "ledger": CommandSummary(
        UPKEEP, "Look after a ledger that has grown long: what is in it, whether it is whole, copies, room."
    ),
}
"""The commands by name, in the order of the help; ``verify-ids`` stands in ``verify_ids.py``."""
