"""Options for reading manifests: they hold for all rows of a command or a call.

Made by the command line from the settings, and by programs; checked when it is made.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batcher.errors import SettingsError
from batcher.manifest.display import shown
from batcher.manifest.formats.detect import ManifestFormat
from batcher.manifest.parameters import Defaults, GivenParameters, type_of, vendor_of
from batcher.manifest.reader import Manifest, open_manifest
from batcher.manifest.text.encoding import known_codec
from batcher.model.submission import SnapshotType

_OPTIONS = {
    "vendor": "--vendor",
    "type": "--type",
    "definition": "--definition",
    "interval": "--interval",
    "offsets": "--offset",
    "encoding": "--encoding",
    "format": "--manifest-format",
    "sheet": "--sheet",
}
"""The options that a ledger remembers for a manifest, with their names on the command line. Those that switch
a check off are decisions for one load, so that they are not among them."""

LastOptions = Callable[[str], Mapping[str, Any]]
"""Returns the options of the last load of a manifest, by its name in the ledger."""


def no_options(_: str) -> Mapping[str, Any]:
    """Return no options: nothing is remembered."""
    return {}


_KEPT = ("encoding", "format", "sheet")


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

    def kept(self) -> dict[str, Any]:
        """Return the options that were given, as JSON values, for :meth:`filled_from`."""
        given = self.defaults.given
        values = {**given._asdict(), **{name: getattr(self, name) for name in _KEPT}}
        return {name: value for name, value in values.items() if value}

    def filled_from(self, kept: Mapping[str, Any]) -> tuple[ReadOptions, tuple[str, ...]]:
        """Return these options with those that are not given taken from an earlier reading.

        Offsets that are given say the type, and a given ``SampleSnapshot`` has none. No parameter is taken
        from a reading for another vendor.

        Args:
            kept: the options of the earlier reading, from :meth:`kept`.

        Returns:
            The options, and those that were taken in the words of the command line; empty when none was.

        Raises:
            SettingsError: an option of the earlier reading has no meaning to this program.
        """
        given = self.kept()
        closed = frozenset[str]()
        if "offsets" in given:
            closed = frozenset({"type"})
        elif "type" in given and type_of(given["type"]) is SnapshotType.SAMPLE:
            closed = frozenset({"offsets"})
        if "vendor" in given.keys() & kept.keys() and vendor_of(given["vendor"]) != vendor_of(kept["vendor"]):
            closed = frozenset(GivenParameters._fields)
        taken = {name: kept[name] for name in _OPTIONS if name in kept.keys() - given.keys() - closed}
        if not taken:
            return self, ()
        if "offsets" in taken:
            taken["offsets"] = tuple(taken["offsets"].split(";"))
        words = tuple(word for name, value in taken.items() for word in _words(_OPTIONS[name], value))
        defaults = replace(
            self.defaults, **{name: taken.pop(name) for name in GivenParameters._fields & taken.keys()}
        )
        return replace(self, defaults=defaults, **taken), words

    def open(self, source: str) -> Manifest:
        """Open a manifest.

        Raises:
            ManifestError: it cannot be used.
        """
        return open_manifest(
            source, defaults=self.defaults, encoding=self.encoding, format_=self.format, sheet=self.sheet
        )


def remembered_text(source: str, options: Sequence[str]) -> str:
    """Return the message that options of the last load are used."""
    return f"{source}: read as in its last load, with {shlex.join(options)}"


def _words(option: str, value: str | tuple[str, ...]) -> Iterator[str]:
    """Yield an option as the command line takes it."""
    for one in value if isinstance(value, tuple) else (value,):
        yield from (option, one)
