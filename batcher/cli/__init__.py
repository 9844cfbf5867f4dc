"""The command line: argv and environment in, one call, text and an exit code out.

The only place that reads the environment, prints, or exits.
"""

from batcher.cli.app import main

__all__ = ["main"]
