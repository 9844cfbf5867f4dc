"""The options of ``discover`` as they were given, and what they mean for the library.

Called by the command ``discover`` and by the demo. Nothing is asked of the service here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batcher.api.discover import DiscoveryFilter
from batcher.cli.library_call import named_options
from batcher.cli.time_options import moment_of, seconds_of
from batcher.errors import SettingsError
from batcher.manifest.formats.detect import ManifestFormat, format_named
from batcher.manifest.parameters import vendor_of
from batcher.model.submission import Archive
from batcher.report.recording_list import ListFormat

_OPTION_OF = {
    "since": "--since",
    "until": "--until",
    "categories": "--category",
    "min_duration_s": "--min-duration",
}
"""By parameter of the library."""

_BY_NAME = {
    None: ListFormat.CSV,
    ManifestFormat.CSV: ListFormat.CSV,
    ManifestFormat.JSONL: ListFormat.JSONL,
}
"""By the format that a manifest of that name would be read as."""


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """The options as they were given."""

    since: str | None = None
    until: str | None = None
    prefix: str = ""
    category: tuple[str, ...] = ()
    min_duration: str | None = None
    not_in_ledger: bool = False
    format: str | None = None

    def filter(self, vendor: str | None) -> DiscoveryFilter:
        """Return the filter that the options describe.

        Raises:
            SettingsError: an option cannot be used.
        """
        now = datetime.now(UTC)
        archive = _archive(vendor)
        with named_options(_OPTION_OF):
            return DiscoveryFilter(
                archive,
                moment_of(self.since, "--since", now),
                moment_of(self.until, "--until", now),
                self.prefix,
                self.category,
                None if self.min_duration is None else seconds_of(self.min_duration, "--min-duration"),
            )

    def list_format(self, output: Path | None) -> ListFormat:
        """Return the format of the list, by ``--format`` or by the file's name.

        Raises:
            SettingsError: there is no such format, or a run would read the file as something else.
        """
        if self.format is not None:
            if self.format not in set(ListFormat):
                raise SettingsError(f"--format {self.format}: give csv or jsonl")
            return ListFormat(self.format)
        named = format_named("-" if output is None else output.name)
        if named.packing or named.format not in _BY_NAME:
            raise SettingsError(
                f"--output {output}: discover writes CSV or JSON lines, and a run would read this file as "
                "something else. Name it .csv or .jsonl, or give --format"
            )
        return _BY_NAME[named.format]

    def identity(self, criteria: DiscoveryFilter, format_: ListFormat) -> dict[str, Any]:
        """Return the options that an unfinished file depends on; their names are in files and stay."""
        return {
            "vendor": criteria.archive.value,
            "since": self.since,
            "until": self.until,
            "prefix": self.prefix,
            "category": list(self.category),
            "min_duration_s": criteria.min_duration_s,
            "not_in_ledger": self.not_in_ledger,
            "format": format_.value,
        }


def _archive(vendor: str | None) -> Archive:
    names = {archive.value.lower(): archive for archive in Archive}
    if vendor is None:
        raise SettingsError("--vendor: say where the recordings are kept: Tencent, Huawei or Ws")
    if (archive := names.get(vendor.strip().lower())) is not None:
        return archive
    try:
        return Archive(vendor_of(vendor.strip()).value)
    except ValueError as exc:
        raise SettingsError(f"--vendor {vendor}: give Tencent, Huawei or Ws") from exc
