"""The commands of the command line, each imported."""

from __future__ import annotations

from typing import Any

import typer.main

from batcher.cli.app import app

GROUP: Any = typer.main.get_command(app)

COMMANDS: dict[str, Any] = {name: GROUP.get_command(None, name) for name in GROUP.list_commands(None)}
"""Those of ``batcher ledger`` are in the ``commands`` of ``ledger``."""

EVERY_COMMAND = COMMANDS | {
    f"{name} {inner}": own
    for name, one in COMMANDS.items()
    for inner, own in getattr(one, "commands", {}).items()
}
"""The same, with ``ledger info`` and its like."""
