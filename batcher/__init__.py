"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud.

For programs: the names of :mod:`batcher.api.public_names` are the library, and all that is promised. They are
imported on first use.
"""

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from batcher._version import __version__ as __version__

if sys.platform == "win32":  # before any module is imported that Windows does not have
    sys.stderr.write("batcher: runs on Linux and macOS; on Windows use WSL 2\n")
    raise SystemExit(2)

if TYPE_CHECKING:
    from batcher.api.public_names import *  # noqa: F403 - each is exported by its module

RENAMED = {
    "Exit": "ExitCode",
    "Figures": "Counts",
    "HowToRead": "ReadOptions",
    "Load": "LoadRecord",
    "Loaded": "LoadResult",
    "Notice": "Event",
    "OpenLedger": "Ledger",
    "Pace": "CurrentRate",
    "ReadLedger": "LedgerView",
    "Summary": "RunSummary",
}
"""Names of 0.1 and what they are called now; the old ones go with the next version."""


def __getattr__(name: str) -> object:
    """Import the library when one of its names is first used."""
    if name in RENAMED:
        warnings.warn(f"batcher.{name} is now batcher.{RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(__name__), RENAMED[name])
    if name not in (names := _public_names()):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update(names)  # all of them: the package batcher.track would hide the function
    return names[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_public_names()})


def _public_names() -> dict[str, object]:
    names = vars(import_module("batcher.api.public_names"))
    return {name: value for name, value in names.items() if not name.startswith("_")}
