"""Columns of Arrow as cells of text, whatever their type.

Used by :mod:`batcher.manifest.formats.parquet`. A value of a known column is text, or a fault of its row. A
column of the manifest's own never makes a row invalid, so every value of every type has a text: missing ones
are empty, times are ISO 8601, bytes that are not text are hexadecimal, decimals keep their zeros, and nested
values are JSON. A time that no calendar here reaches is its count of units since 1970.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import Number, Value, encode

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = 2**53
_INFINITE = float("inf")
_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many of a unit are a second."""
_CALENDAR = 900_000_000_000
"""The seconds around 1970 that Arrow's calendar reaches: the years -26,550 to 30,489."""
_INT32 = 32
_HAS_TIMES = re.compile("time|date|duration")
"""In the name of a type: it holds times, or has a field of such a name, which does no harm."""
_DecimalText = Callable[[Decimal], str]


class TextColumn(NamedTuple):
    """A column of one batch."""

    texts: list[str]
    faults: Mapping[int, str] = {}
    """Why a value is no text, by its row."""


def known_column(values: pa.Array) -> TextColumn:
    """Return a column whose values have an effect: bytes are text, or a fault."""
    from pyarrow import types

    if types.is_dictionary(values.type):
        return known_column(values.dictionary_decode())
    if not (_is_text(values.type) or _is_bytes(values.type)):
        return TextColumn(_texts(values, _plain))
    try:
        return TextColumn([text or "" for text in values.cast("large_string").to_pylist()])
    except (ValueError, UnicodeError):
        return _decoded(values)


def _decoded(values: pa.Array) -> TextColumn:
    """Return bytes as UTF-8; bytes that are not UTF-8 are a fault of their row."""
    texts, faults = [], {}
    for row, scalar in enumerate(values):
        raw = _raw(scalar)
        text = raw.decode("utf-8", "backslashreplace")
        if text.encode() != raw:
            faults[row] = f"{shown(text)} is not UTF-8 text"
        texts.append(text)
    return TextColumn(texts, faults)


def own_column(values: pa.Array) -> list[str]:
    """Return the texts of a column that has no effect; never fails."""
    return _texts(values, _as_written)


def _texts(values: pa.Array, decimal_text: _DecimalText) -> list[str]:
    try:
        if (texts := _fast(values, decimal_text)) is not None:
            return texts
        if not _HAS_TIMES.search(str(values.type)):  # those of Python are other texts, and cut to its range
            return [_cell(_value(value, decimal_text)) for value in values.to_pylist()]
    except (
        ValueError,
        OverflowError,
        TypeError,
        UnicodeError,
        NotImplementedError,
        ImportError,
        LookupError,
    ):
        pass  # one of them is nothing that Python has
    return [_cell(_safe_value(scalar)) for scalar in values]


def _fast(values: pa.Array, decimal_text: _DecimalText) -> list[str] | None:
    """Return the texts of columns that Arrow itself turns into text; None for others."""
    from pyarrow import types

    kind = values.type
    if _is_text(kind):
        return [text or "" for text in values.to_pylist()]
    if types.is_integer(kind) or types.is_boolean(kind):
        return [text or "" for text in values.cast("string").to_pylist()]
    if types.is_time(kind) or types.is_date(kind) or types.is_timestamp(kind):
        if not _in_calendar(values):
            return [_cell(_safe_value(scalar)) for scalar in values]
        return [(text or "").replace(" ", "T") for text in values.cast("string").to_pylist()]
    if types.is_dictionary(kind):
        return _texts(values.dictionary_decode(), decimal_text)
    return None


def _in_calendar(values: pa.Array) -> bool:
    """Whether the package's calendar reaches all of these times; beyond, its texts are wrong."""
    import pyarrow as pa
    import pyarrow.compute as pc

    span = pc.min_max(values.cast(pa.int32() if values.type.bit_width == _INT32 else pa.int64()))
    return all(bound is None or _reached(values.type, bound) for bound in span.as_py().values())


def _reached(kind: pa.DataType, count: int) -> bool:
    unit = _unit(kind)
    seconds = count * _DAY if unit == "d" else count // _PER_SECOND[unit]
    return 0 <= seconds < _DAY if _is_time(kind) else abs(seconds) <= _CALENDAR


def _unit(kind: pa.DataType) -> str:
    """Return the unit of a time, a date or a timestamp."""
    from pyarrow import types

    return "d" if types.is_date32(kind) else "ms" if types.is_date64(kind) else str(kind.unit)


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _raw(scalar: pa.Scalar) -> bytes:
    buffer = scalar.as_buffer() if scalar.is_valid else None
    return b"" if buffer is None else bytes(buffer.to_pybytes())


def _cell(value: Value) -> str:
    """Return a value as a cell: texts and numbers as they are, lists and structures as JSON."""
    if isinstance(value, str):
        return str(value)
    return "" if value is None else encode(value)


def number_text(value: float) -> str:
    """A float as text: whole ones without a point, where they are exact; not-a-number as nothing."""
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _as_written(value: Decimal) -> str:
    """Return a decimal with all places of its column: the zeros of a price belong to it."""
    return f"{value:f}"


def _plain(value: Decimal) -> str:
    """Return a decimal without zeros at its end, as ids and parameters are compared."""
    text = _as_written(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(value: Any, decimal_text: _DecimalText = _as_written) -> Value:  # noqa: ANN401 - any type of value
    """A value as JSON holds it; one that JSON has no kind for is a text."""
    match value:
        case dict():
            return tuple((str(name), _value(member, decimal_text)) for name, member in value.items())
        case list() | tuple():
            return [_value(element, decimal_text) for element in value]
        case None | bool() | str():
            return value
        case float() if value != value:
            return None
        case float() if value in (_INFINITE, -_INFINITE):
            return repr(value)
        case float():
            return Number(number_text(value))
        case Decimal():
            return Number(decimal_text(value)) if value.is_finite() else str(value)
        case int():
            return Number(value)
        case bytes():
            return _bytes_text(value)
        case _:
            return str(value)


def _bytes_text(raw: bytes) -> str:
    """Return bytes as the text that they are, or as hexadecimal digits."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw.hex()
    return text if all(character.isprintable() or character in "\t\r\n" for character in text) else raw.hex()


def _safe_value(scalar: pa.Scalar) -> Value:
    """Return a value that Python may have no type for, such as a duration with nanoseconds; never fails."""
    if not scalar.is_valid:
        return None
    for fits, read in _READERS:
        if fits(scalar.type):
            return read(scalar)
    try:
        return _value(scalar.as_py())
    except Exception:  # any exception of the package: the value has no influence on what is sent
        return f"({scalar.type})"


def _structure(scalar: pa.Scalar) -> Value:
    fields = [scalar.type.field(number) for number in range(scalar.type.num_fields)]
    return tuple((field.name, _safe_value(scalar[number])) for number, field in enumerate(fields))


def _elements(scalar: pa.Scalar) -> Value:
    from pyarrow import types

    if types.is_map(scalar.type):
        return [[_safe_value(pair[0]), _safe_value(pair[1])] for pair in scalar.values]
    return [] if scalar.values is None else [_safe_value(element) for element in scalar.values]


def _inner(scalar: pa.Scalar) -> Value:
    return _safe_value(scalar.value)


def _duration(scalar: pa.Scalar) -> Value:
    """Return a duration as Python writes one, with the digits that Python's lacks."""
    unit = _PER_SECOND[scalar.type.unit]
    seconds, rest = divmod(scalar.value, unit)
    try:
        text = str(dt.timedelta(seconds=seconds))
    except OverflowError:
        return f"{scalar.value} {scalar.type.unit}"
    return f"{text}.{rest:0{len(str(unit)) - 1}d}" if rest else text


def _moment(scalar: pa.Scalar) -> Value:
    import pyarrow as pa

    kind = scalar.type
    count = scalar.cast(pa.int32() if kind.bit_width == _INT32 else pa.int64()).as_py()
    zone = getattr(kind, "tz", None)
    if not _reached(kind, count):
        unit = "days" if _unit(kind) == "d" else _unit(kind)
        begin = "midnight" if _is_time(kind) else f"1970-01-01{'T00:00:00Z' if zone else ''}"
        return f"{count} {unit} since {begin}"
    try:
        return str(scalar.cast("string").as_py()).replace(" ", "T")
    except (ValueError, LookupError):  # a time zone that is not known here
        return str(scalar.cast(pa.timestamp(kind.unit)).cast("string").as_py()).replace(" ", "T") + "Z"


def _unchecked_text(scalar: pa.Scalar) -> Value:
    return _raw(scalar).decode("utf-8", "backslashreplace")


def _some_bytes(scalar: pa.Scalar) -> Value:
    return _bytes_text(_raw(scalar))


def _extension(scalar: pa.Scalar) -> Value:
    """Return the value of an extension type; a UUID as such."""
    raw = scalar.value
    if _is_bytes(raw.type) and raw.type.byte_width == _UUID_BYTES and "uuid" in str(scalar.type):
        return str(uuid.UUID(bytes=_raw(raw)))
    return _safe_value(raw)


_UUID_BYTES = 16


def _type_is(*names: str) -> Callable[[pa.DataType], bool]:
    """Return a test of types, by the names of pyarrow's own tests; those that it lacks do not hold."""

    def holds(kind: pa.DataType) -> bool:
        from pyarrow import types

        return any(getattr(types, name)(kind) for name in names if hasattr(types, name))

    return holds


_is_time = _type_is("is_time")


def _is_extension(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType)


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Scalar], Value]], ...] = (
    (_is_extension, _extension),
    (_type_is("is_struct"), _structure),
    (_type_is("is_list", "is_large_list", "is_fixed_size_list", "is_map", "is_list_view"), _elements),
    (_type_is("is_dictionary"), _inner),
    (_type_is("is_duration"), _duration),
    (_type_is("is_timestamp", "is_time", "is_date"), _moment),
    (_is_text, _unchecked_text),
    (_is_bytes, _some_bytes),
)
