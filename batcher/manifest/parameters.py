"""The rules of parameters: the texts of a row and the defaults in, the parameters of a submission out.

Called for each set of parameters in a manifest. Pure. A text that cannot be read gives a reason. A parameter
without effect is dropped before it is read.

Source: service documentation, "MediaThumbnails", request parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypeVar

from batcher.errors import SettingsError
from batcher.manifest.columns import BLANKS, KnownColumn
from batcher.manifest.display import shown
from batcher.model.submission import Parameters, SnapshotType, Vendor

T = TypeVar("T")

MAX_DIGITS = 15
"""The number of digits that every program involved keeps exactly."""

_VENDORS = {
    **dict.fromkeys(("tencent", "tencentcloud", "腾讯", "腾讯云"), Vendor.TENCENT),
    **dict.fromkeys(("huawei", "hw", "huaweicloud", "华为", "华为云"), Vendor.HUAWEI),
}
_TYPES = {kind.lower(): kind for kind in SnapshotType}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_SEPARATORS = re.compile(rf"[;,|\r\n{BLANKS}]+")


class GivenParameters(NamedTuple):
    """The parameters as texts, without surrounding blanks; an empty text means not given."""

    vendor: str = ""
    type: str = ""
    definition: str = ""
    interval: str = ""
    offsets: str = ""


class Unusable(ValueError):
    """A row's parameters cannot be sent; holds the column at fault, the reason, and the option it lacks."""

    def __init__(self, column: KnownColumn, reason: str, lacks: str = "") -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.lacks = lacks


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values that fill in where a row leaves a value out.

    Raises:
        SettingsError: a default is wrong; each line names its parameter. A bad default is not a bad row.
    """

    vendor: str | None = None
    type: str | None = None
    definition: str | int | None = None
    interval: str | float | None = None
    offsets: tuple[str | float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that no row could be filled with."""
        if isinstance(self.offsets, str):  # its letters would pass for offsets
            raise SettingsError("offsets: a tuple of them is expected, not one text")
        problems = [
            *_problems("vendor", self.vendor, vendor_of),
            *_problems("type", self.type, type_of),
            *_problems("definition", _text(self.definition), definition_of),
            *_problems("interval", _text(self.interval), interval_of),
            *(line for offset in self.offsets for line in _problems("offsets", _text(offset), offsets_of)),
        ]
        if problems:
            raise SettingsError(*problems)

    @property
    def given(self) -> GivenParameters:
        """The defaults as texts of a row."""
        texts = (self.vendor, self.type, _text(self.definition), _text(self.interval))
        vendor, kind, definition, interval = ((text or "").strip(BLANKS) for text in texts)
        offsets = [
            value for offset in self.offsets for value in offsets_of((_text(offset) or "").strip(BLANKS))
        ]
        return GivenParameters(vendor, kind, definition, interval, ";".join(offsets))


def _text(value: str | float | None) -> str | None:
    """Return a number as a manifest would hold it: without an exponent."""
    return value if value is None or isinstance(value, str) else f"{Decimal(repr(value)):f}"


def _problems(parameter: str, text: str | None, read: Callable[[str], object]) -> Iterator[str]:
    """The problem with a default that cannot be read; an empty one would silently ask for something else."""
    if text is None:
        return
    if _is_empty(text):
        yield f"{parameter}: is empty"
        return
    try:
        read(text.strip(BLANKS))
    except ValueError as exc:
        yield f"{parameter}: {exc}"


def resolve(given: GivenParameters, defaults: GivenParameters) -> Parameters:
    """Return the parameters of a row.

    Raises:
        Unusable: a value with an effect is missing or wrong.
    """
    vendor = _column(KnownColumn.VENDOR, vendor_of, given.vendor or defaults.vendor)
    kind = _kind(given, defaults)
    definition = interval = ""
    offsets: tuple[str, ...] = ()
    if kind is SnapshotType.BY_TIME_OFFSET:
        offsets = _column(KnownColumn.OFFSETS, offsets_of, _offsets_given(given, defaults))
    if vendor is Vendor.TENCENT:
        definition = _column(KnownColumn.DEFINITION, definition_of, given.definition or defaults.definition)
    else:
        interval = _column(KnownColumn.INTERVAL, interval_of, given.interval or defaults.interval)
    return Parameters(vendor, kind, definition, interval, offsets)


def _kind(given: GivenParameters, defaults: GivenParameters) -> SnapshotType:
    """Return the type; when it is not given anywhere, offsets decide."""
    text = given.type or defaults.type
    if text:
        return _column(KnownColumn.TYPE, type_of, text)
    return SnapshotType.BY_TIME_OFFSET if _offsets_given(given, defaults) else SnapshotType.SAMPLE


def _offsets_given(given: GivenParameters, defaults: GivenParameters) -> str:
    """Return a row's own offsets, else the default ones. An empty list counts as not given."""
    return defaults.offsets if _is_empty(given.offsets) else given.offsets


def _is_empty(text: str) -> bool:
    """Whether a text is empty, or an empty list."""
    return not text.strip("[];,|\r\n" + BLANKS)


def _column(column: KnownColumn, read: Callable[[str], T], text: str) -> T:
    """Read a value that has an effect and therefore must be given."""
    if not text:
        option = "--offset" if column is KnownColumn.OFFSETS else f"--{column}"
        raise Unusable(column, f"is missing; fill it in or give {option}", option)
    try:
        return read(text)
    except ValueError as exc:
        raise Unusable(column, str(exc)) from exc


# -- single values: text in, value out, ValueError with the reason -------------------------------


def vendor_of(text: str) -> Vendor:
    """Read a vendor's name; case, ``_``, ``-`` and spaces do not count."""
    vendor = _VENDORS.get(_plain(text))
    if vendor is None:
        raise ValueError(f"{shown(text)} is not one of {', '.join(Vendor)}")
    return vendor


def type_of(text: str) -> SnapshotType:
    """Read a type's name; case, ``_``, ``-`` and spaces do not count."""
    kind = _TYPES.get(_plain(text))
    if kind is None:
        raise ValueError(f"{shown(text)} is not one of {', '.join(SnapshotType)}")
    return kind


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def definition_of(text: str) -> str:
    """Read the number of a template."""
    number = number_of(text)
    if "." in number:
        raise ValueError(f"{shown(text)} is not a whole number")
    return number


def interval_of(text: str) -> str:
    """Read an interval in seconds."""
    number = number_of(text)
    if number == "0":
        raise ValueError(f"{shown(text)} is not more than 0 seconds")
    return number


def number_of(text: str) -> str:
    """Read a number without sign or exponent; equal numbers give the same text."""
    if len(text) > 4 * MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a plain number such as 10 or 2.5")
    canonical = f"{Decimal(text):f}"
    whole, _, fraction = canonical.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if len(whole) + len(fraction) > MAX_DIGITS:
        raise ValueError(f"{shown(text)} has more than {MAX_DIGITS} digits")
    return f"{whole}.{fraction}" if fraction else whole


class _Literal(str):
    """A number with the digits of the JSON text: it is never a float."""

    __slots__ = ()


def offsets_of(text: str) -> tuple[str, ...]:
    """Read times in seconds, separated by ``;,|`` or blanks, or a JSON array; order and repeats are kept."""
    if not text.startswith("["):
        return tuple(number_of(part) for part in _SEPARATORS.split(text) if part)
    try:
        values = json.loads(text, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"{shown(text)} is not a JSON array of numbers") from exc
    if not all(isinstance(value, _Literal) for value in values):
        raise ValueError(f"{shown(text)} is not a JSON array of numbers")
    return tuple(number_of(value) for value in values)


NO_DEFAULTS = Defaults()
