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
    "check": CommandSummary(MAIN, "Show what would go wrong before a run does."),
    "retry": CommandSummary(MAIN, "Put failed and rejected submissions back in the queue."),
    "discover": CommandSummary(MAIN, "List the recordings that exist, as a manifest."),
    "verify-ids": CommandSummary(MAIN, "Check a manifest's Tencent ids before paying for them."),
    "track": CommandSummary(MAIN, "Track the tasks until all have ended."),
    "listen": CommandSummary(MAIN, "Receive the service's callbacks and confirm what they claim."),
    "status": CommandSummary(RESULTS, "Show progress, codes, loads and the time left."),
    "export": CommandSummary(RESULTS, "Write the results, one row per submission or manifest row."),
    "show": CommandSummary(RESULTS, "Show one recording: attempts, codes and RequestIds."),
    "fetch": CommandSummary(RESULTS, "Fetch the pictures of finished tasks into a folder."),
    "report": CommandSummary(RESULTS, "Draw everything on one page for the browser."),
    "audit": CommandSummary(RESULTS, "Add up everything: sent once, perhaps twice, unknown."),
    "codes": CommandSummary(RESULTS, "Explain return codes, in English and Chinese."),
    "demo": CommandSummary(REHEARSING, "Rehearse everything on this machine, without an account."),
    "sandbox": CommandSummary(REHEARSING, "Serve the documented API on this machine."),
    "ledger": CommandSummary(UPKEEP, "Look after a ledger: contents, verification, copies, room."),
}
"""The commands by name, in the order of the help; the file of ``verify-ids`` is ``verify_ids.py``."""
