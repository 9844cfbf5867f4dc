"""The options for reading manifests, from the settings.

Called by every command that reads a manifest. A module of its own, so that a command that only reads results
imports nothing that sending needs.
"""

from __future__ import annotations

from batcher.cli.library_call import named_options
from batcher.config.settings import Settings
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions


def how_to_read(settings: Settings) -> ReadOptions:
    """Return the options for reading manifests.

    Raises:
        SettingsError: a value is wrong; each line names its option.
    """
    with named_options(_OPTION_OF):
        return ReadOptions(
            Defaults(settings.vendor, settings.type, settings.definition, settings.interval, settings.offset),
            settings.encoding,
            settings.trust_ids,
            settings.allow_resubmit,
            settings.manifest_format,
            settings.sheet,
        )


_OPTION_OF = {
    **{name: f"--{name}" for name in ("vendor", "type", "definition", "interval", "encoding", "sheet")},
    "offsets": "--offset",
    "format": "--manifest-format",
}
"""By parameter of the library."""
