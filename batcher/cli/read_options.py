"""The options for reading manifests, from the settings.

Called by every command that reads a manifest. A module of its own, so that a command that only reads results
imports nothing that sending needs.
"""

from __future__ import annotations

from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions


def how_to_read(settings: Settings) -> ReadOptions:
    """Return the options for reading manifests.

    Raises:
        SettingsError: a value is wrong; each line names its option.
    """
    try:
        return ReadOptions(
            Defaults(settings.vendor, settings.type, settings.definition, settings.interval, settings.offset),
            settings.encoding,
            settings.trust_ids,
            settings.allow_resubmit,
            settings.manifest_format,
            settings.sheet,
        )
    except SettingsError as exc:
        raise SettingsError(*map(_naming_option, exc.args)) from exc


def _naming_option(problem: str) -> str:
    """A problem that names a parameter of the library, with the option's name instead."""
    parameter, _, reason = problem.partition(": ")
    return f"--{_OPTIONS.get(parameter, parameter)}: {reason}"


_OPTIONS = {"offsets": "offset", "format": "manifest-format"}
