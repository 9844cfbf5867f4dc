"""How manifests are read, from the settings. Used by every command that reads a manifest."""

from __future__ import annotations

from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.manifest import Defaults
from batcher.manifest.read_options import ReadOptions


def how_to_read(settings: Settings) -> ReadOptions:
    """Return how manifests are read.

    Raises:
        SettingsError: a default is not a usable value.
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
