"""The commands of ``batcher ledger``."""

from batcher.cli.ledgers import Program, ledger_commands
from batcher.cli.program import UPKEEP, app, end, end_async, settings_of

app.add_typer(ledger_commands(Program(settings_of, end, end_async)), name="ledger", rich_help_panel=UPKEEP)
