"""The command line: argv and environment in, one call, text and an exit code out.

The only place that reads the environment, prints, or exits.
"""

from batcher.cli.terminal.streams import open_standard_streams

__all__ = ["main"]


def main() -> None:
    """Run the ``batcher`` command; prepare the standard streams before anything else is imported."""
    open_standard_streams()
    from batcher.cli.app import main as command

    command()
