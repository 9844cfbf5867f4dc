"""Options for reading manifests: they hold for all rows of a command or a call.

Made by the command line from the settings, and by programs; checked when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batcher.errors import ManifestError, SettingsError
from batcher.manifest.display import shown
from batcher.manifest.formats.detect import ManifestFormat
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.manifest.sources.patterns import expand
from batcher.manifest.sources.remote import redacted
from batcher.manifest.text.encoding import known_codec


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading manifests: values that rows leave out, accepted rows, and formats and encodings.

    Raises:
        SettingsError: a value is wrong; each line names its parameter.
    """

    defaults: Defaults = field(default_factory=Defaults)
    encoding: str | None = None
    trust_ids: bool = False
    allow_resubmit: bool = False
    format: str | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        """Refuse values with which no manifest could be read."""
        problems = []
        if self.encoding is not None:
            try:
                known_codec(self.encoding)
            except ValueError as exc:
                problems.append(f"encoding: {exc}")
        if self.format is not None and self.format not in set(ManifestFormat):
            problems.append(f"format: {shown(self.format)} is not one of {', '.join(ManifestFormat)}")
        if problems:
            raise SettingsError(*problems)

    def open(self, source: str) -> Manifest:
        """Open a manifest.

        Raises:
            ManifestError: it cannot be used.
        """
        return open_manifest(
            source, defaults=self.defaults, encoding=self.encoding, format_=self.format, sheet=self.sheet
        )

    def open_only(self, source: str) -> Manifest:
        """Open the one manifest that a name or a pattern names.

        Raises:
            ManifestError: it cannot be used, or a pattern matches several.
        """
        names = expand([source])
        if len(names) > 1:
            raise ManifestError(
                f"{redacted(source)}: {len(names)} files match this pattern. Name one of them"
            )
        return self.open(names[0])
