"""How manifests are read, out of the settings; shared by the commands that read one.

It stands apart so that a reader of results need not bring in what only sending needs.
"""

from __future__ import annotations

from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.manifest import Defaults
from batcher.manifest.read_options import ReadOptions


def how_to_read(settings: Settings) -> ReadOptions:
    """How manifests are read, out of the settings.

    Raises:
        SettingsError: a default cannot be what it should be.
    """
    try:
        defaults = Defaults(
            settings.vendor, settings.type, settings.definition, settings.interval, settings.offset
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
    return ReadOptions(
        defaults,
        settings.encoding,
        settings.trust_ids,
        settings.allow_resubmit,
        settings.manifest_format,
        settings.sheet,
    )
