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
