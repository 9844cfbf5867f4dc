"""Parquet as a table: batches of typed columns in, cells of text out.

One batch is held at a time, and pages are read as they come, so a file of one huge row group takes no more
memory than a small one. A column of ids whose type cannot hold them exactly is refused before any row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.columns import KnownColumn, read_columns
from batcher.manifest.display import shown
from batcher.manifest.formats.json_stream import Number, Value, encode
from batcher.manifest.formats.table import NO_WARNING, PASSED_OVER, Record, RecordFault
from batcher.manifest.optional_packages import needed
from batcher.manifest.sources.local import Unread
from batcher.model.submission import CountedBy

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4_096
"""Rows held at a time."""
PAGE_BUFFER_BYTES = 1 << 18
"""The bytes of each column read in one call; without it a row group's columns are read whole."""

_EXACT = 2**53
_INFINITE = float("inf")
_Texts = Callable[["pa.Array"], list[str | None]]


class Parquet:
    """A Parquet file, read once."""

    passed_over = PASSED_OVER
    end_warning = NO_WARNING
    counted_by = CountedBy.ROW

    def __init__(self, name: str, file: BinaryIO) -> None:
        """Read the footer.

        Raises:
            ManifestError: it is not a whole Parquet file, or has no column for the file id of a right type.
        """
        with needed("pyarrow", f"{name}: a Parquet file"):
            import pyarrow as pa
            import pyarrow.parquet as pq
        # Its own allocators keep freed memory; the system's returns it.
        pa.set_memory_pool(pa.system_memory_pool())
        self._name = name
        with _translated(name):
            self._file = pq.ParquetFile(file, pre_buffer=False, buffer_size=PAGE_BUFFER_BYTES)
            self._schema = self._file.schema_arrow
        self.columns = read_columns(name, self._schema.names)
        id_at = self.columns.known[KnownColumn.FILE_ID]
        _refuse_inexact(f"{name}, column {self.columns.names[id_at]}", self._schema.field(id_at).type)

    def records(self) -> Iterator[Record]:
        """Every row, numbered from 1."""
        number = 0
        batches = self._batches()
        while True:
            with _translated(CountedBy.ROW.place(self._name, number + 1)):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = [
                    _Column(name, values) for name, values in zip(self.columns.names, batch, strict=True)
                ]
            for row, cells in enumerate(zip(*(column.texts for column in columns), strict=True)):
                number += 1
                yield number, list(cells), _first_fault(columns, row)

    def _batches(self) -> Iterator[list[pa.Array]]:
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            yield batch.columns


def _refuse_inexact(where: str, kind: pa.DataType) -> None:
    """Refuse a column of ids whose type has lost digits, or is not a type for ids."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_floating(kind):
        raise ManifestError(
            f"{where}: its type is {kind}, which keeps 15 to 17 of an id's 19 digits: the ids in it are "
            "rounded and name other recordings. Write the column as string or int64, from the original"
        )
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    raw = types.is_binary(kind) or types.is_large_binary(kind)
    if not (text or raw or types.is_integer(kind) or types.is_decimal(kind) or types.is_null(kind)):
        raise ManifestError(f"{where}: its type is {kind}; a file id is a string or an int64")


class _Column:
    """A column of one batch, as texts."""

    def __init__(self, name: str, values: pa.Array) -> None:
        self.name = name
        self.faults: dict[int, str] = {}
        self.texts = self._read(values)

    def _read(self, values: pa.Array) -> list[str]:
        from pyarrow import types

        kind = values.type
        if types.is_dictionary(kind):
            return self._read(values.dictionary_decode())
        if isinstance(kind, _extension_type()):
            return self._read(values.storage)
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            try:
                return [text or "" for text in values.to_pylist()]
            except UnicodeDecodeError:
                return self._decoded(values)
        if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
            return self._decoded(values)
        if types.is_integer(kind) or types.is_boolean(kind) or types.is_date(kind) or types.is_time(kind):
            return [text or "" for text in values.cast("string").to_pylist()]
        if types.is_timestamp(kind):
            return [(text or "").replace(" ", "T") for text in values.cast("string").to_pylist()]
        return [_cell(value) for value in values.to_pylist()]

    def _decoded(self, values: pa.Array) -> list[str]:
        """Return bytes as UTF-8 text; bytes that are not UTF-8 are a fault of their row."""
        texts = []
        for row, raw in enumerate(values.cast("large_binary").to_pylist()):
            text = (raw or b"").decode("utf-8", "backslashreplace")
            if raw and text.encode() != raw:
                self.faults[row] = f"{shown(text)} is not UTF-8 text"
            texts.append(text)
        return texts


def _extension_type() -> type:
    import pyarrow as pa

    return pa.BaseExtensionType  # type: ignore[no-any-return] # the package has no types


def _first_fault(columns: list[_Column], row: int) -> RecordFault | None:
    for column in columns:
        if column.faults and row in column.faults:
            return RecordFault(column.name, column.faults[row])
    return None


def _cell(value: Any) -> str:  # noqa: ANN401 - any type of value
    """Return a value as a cell: numbers without a needless point, lists and structures as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case Decimal():
            return _plain(value)
        case list() | dict() | tuple():
            return encode(_value(value))
        case _:
            return str(value)


def number_text(value: float) -> str:
    """A float as text: whole ones without a point, where they are exact; not-a-number as nothing."""
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(value: Any) -> Value:  # noqa: ANN401 - any type of value
    """A nested value as JSON holds it; one that JSON has no kind for is a text."""
    match value:
        case dict():
            return tuple((str(name), _value(member)) for name, member in value.items())
        case list() | tuple():
            return [_value(element) for element in value]
        case None | bool() | str():
            return value
        case int() | Decimal() | float() if value == value and value not in (_INFINITE, -_INFINITE):
            return Number(_cell(value))
        case float():
            return None
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return str(value)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate exceptions of the package into an error of the manifest."""
    import pyarrow as pa

    try:
        yield
    except Unread as exc:
        raise exc.at(where) from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise ManifestError(
            f"{where}: the Parquet file cannot be read: {shown(reason, limit=160)}. It is cut off, damaged "
            "or of an unknown kind; write or fetch it again"
        ) from exc
