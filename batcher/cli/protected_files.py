"""The files that a command reads, found in its arguments and settings: no output may replace one of them.

Called once per command, when its settings are read. The rules for outputs are in :mod:`batcher.output_files`.
"""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from batcher.config.defaults import CONFIG as DEFAULT_CONFIG
from batcher.config.paths import path_problem
from batcher.config.settings import Settings
from batcher.errors import BatcherError, SettingsError
from batcher.files import is_folder
from batcher.output_files import Protected, check_stdout, check_target, protect

OUTPUTS = {"output": "--output", "metrics_file": "--metrics-file", "file": "FILE", "target": "TARGET"}
"""Arguments that name a file to be written, each with the name that messages use."""

_COPIES = ("file", "target")
"""Outputs that are the copy of a ledger: it may replace an older one."""

_SOURCES = ("manifests", "manifest", "known")
"""Arguments that name manifests."""


def check_files(given: Mapping[str, Any], settings: Settings) -> None:
    """Protect the files that a command reads, and refuse outputs that would overwrite them.

    Args:
        given: the command's arguments.
        settings: the settings made of them.

    Raises:
        SettingsError: an output is the ledger, one of its companions, an input or a database, or its path
            holds quotation marks or control characters.
    """
    sources = _sources(given)
    inputs = [
        Path(given.get("config") or DEFAULT_CONFIG),
        Path(".env"),
        *(place for source in sources for place in _files(source)),
        *_files_of_settings(settings),
    ]
    protect(Protected(tuple(_ledger(settings)), tuple(inputs), stdin_is_input="-" in sources))
    check_stdout()
    for name, option in OUTPUTS.items():
        target = settings.metrics_file if name == "metrics_file" else given.get(name)
        if name not in given or target is None:
            continue
        if problem := path_problem(str(target)):
            raise SettingsError(f"{option} {target}: {problem}")
        if not is_folder(target):
            check_target(Path(target), option, may_be_database=name in _COPIES)


def reads_stdin(given: Mapping[str, Any]) -> bool:
    """Whether a command reads a manifest from stdin."""
    return "-" in _sources(given)


def _sources(given: Mapping[str, Any]) -> list[str]:
    return [source for name in _SOURCES for source in _listed(given.get(name))]


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(source) for source in value] if isinstance(value, list | tuple) else [str(value)]


def _files(source: str) -> Iterator[Path]:
    """The files on this machine that a source may name."""
    place = source
    if source.lower().startswith("file:"):
        from batcher.manifest.sources.remote import local_path  # needed only for a URL

        place = local_path(source) or source
    yield Path(place)
    if glob.has_magic(place):
        yield from map(Path, glob.iglob(place, recursive=True))  # noqa: PTH207 - with ** as manifests take it


def _files_of_settings(settings: Settings) -> Iterator[Path]:
    """The files that settings name and that are read: secrets, addresses, certificates."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Path) and name not in OUTPUTS:
            yield value


def _ledger(settings: Settings) -> Iterator[Path]:
    if "://" not in settings.ledger:
        yield Path(settings.ledger)
        return

    from batcher.config.ledger_names import ledger_named  # needed only for a URL

    with contextlib.suppress(BatcherError):  # a command that needs the ledger reports it
        if isinstance(name := ledger_named(settings.ledger), Path):
            yield name
