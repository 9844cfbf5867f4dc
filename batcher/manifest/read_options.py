"""How a manifest is to be read."""

from __future__ import annotations

from dataclasses import dataclass, field

from batcher.errors import ManifestError
from batcher.manifest import Defaults, Manifest, expand, open_manifest, redacted


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How manifests are read: what rows leave out, what is waved through, and what their names do not say."""

    defaults: Defaults = field(default_factory=Defaults)
    encoding: str | None = None
    trust_ids: bool = False
    allow_resubmit: bool = False
    format: str | None = None
    sheet: str | None = None

    def open(self, source: str) -> Manifest:
        """Open a manifest.

        Raises:
            ManifestError: it cannot be used.
        """
        return open_manifest(
            source, defaults=self.defaults, encoding=self.encoding, format_=self.format, sheet=self.sheet
        )

    def open_only(self, source: str) -> Manifest:
        """Open the one manifest that a name or a pattern stands for.

        Raises:
            ManifestError: it cannot be used, or a pattern stands for several.
        """
        names = expand([source])
        if len(names) > 1:
            raise ManifestError(
                f"{redacted(source)}: {len(names)} files match this pattern. Name one of them"
            )
        return self.open(names[0])
