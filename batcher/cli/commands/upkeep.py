"""The commands of ``batcher ledger``."""

from batcher.cli.command import UPKEEP, app, end, end_async, settings_of
from batcher.cli.ledgers import Program, ledger_commands

app.add_typer(ledger_commands(Program(settings_of, end, end_async)), name="ledger", rich_help_panel=UPKEEP)
