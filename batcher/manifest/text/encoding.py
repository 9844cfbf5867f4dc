"""The encoding of a manifest: how it is found, the check of all bytes, and the messages about a fault.

Called by :mod:`batcher.manifest.text.lines`. Nothing is guessed: text is UTF-8, or UTF-16 with a byte-order
mark, or the encoding that ``--encoding`` names. A wrongly read path would be a wrong FileId, so other
readings are shown to the user and never used.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batcher.errors import ManifestError
from batcher.manifest.display import shown
from batcher.manifest.sources.local import Source
from batcher.model.submission import CountedBy

CHINESE = "gb18030"
"""The encoding of CSV from Chinese spreadsheets; a superset of GBK and GB2312."""
OFFENDING_LINES = 3
LONGEST_BYTES = 1 << 22
"""The length at which a line without an end is cut for a message."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

_NOT_TEXT = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls) or one with a password"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh9", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PAR1\x15", "a Parquet file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"\x1f\x9d", "compressed with compress (.Z)"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC\x08", "an ORC file"),
    (b"ARROW1\x00\x00", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"%PDF-", "a PDF document"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A way to decode bytes."""

    codec: str
    """Python's name for it; where there is a choice, the codec that expects no byte-order mark."""
    label: str
    """Its name in messages."""
    mark_length: int = 0
    """The length in bytes of the byte-order mark, which is not part of the text."""

    def decoder(self) -> codecs.IncrementalDecoder:
        """Return a strict decoder for blocks of bytes."""
        return codecs.getincrementaldecoder(self.codec)("strict")


def encoding_of(name: str, head: bytes, requested: str | None) -> Encoding:
    """Return the encoding of a manifest that begins with ``head``.

    Raises:
        ManifestError: the encoding requested is not known, or the bytes are not text.
    """
    for magic, what in _NOT_TEXT:
        if head.startswith(magic):
            raise ManifestError(f"{name}: this is {what}, not text. Unpack it, or export it as CSV")
    mark, marked = next(((m, codec) for m, codec in _MARKS if head.startswith(m)), (b"", ""))
    if requested is None:
        codec = marked or "utf-8"
        return Encoding(codec, "UTF-16" if codec.startswith("utf-16") else "UTF-8", len(mark))
    try:
        codec = known_codec(requested)
    except ValueError as exc:
        raise ManifestError(f"{name}: --encoding {exc}") from exc
    if codec == "utf-8-sig":
        codec = "utf-8"
    elif codec == "utf-16":
        codec = marked if marked.startswith("utf-16") else "utf-16-le"
    return Encoding(codec, requested, len(mark) if codec == marked else 0)


def known_codec(name: str) -> str:
    """Return Python's name for an encoding of text.

    Raises:
        ValueError: there is no such encoding.
    """
    try:
        "a".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError) as exc:
        raise ValueError(
            f"{shown(name)!r} is not known. Usual ones are utf-8, utf-16, gb18030, big5 and cp1252"
        ) from exc


def check_text(source: Source, encoding: Encoding) -> None:
    """Read a whole file once and check that all of it is text.

    Raises:
        ManifestError: it is not; the message names the lines, and the ``--encoding`` that would accept it.
    """
    if _accepts(source.all_blocks(), encoding):
        return
    offending: list[str] = []
    if not encoding.codec.startswith(("utf-16", "utf-32")):
        for number, raw in _byte_lines(source.all_blocks()):
            if b"\0" in raw:
                raise nul_fault(source.name, number, block=next(source.all_blocks(), b""))
            position = _undecodable_at(raw, encoding)
            if position is not None:
                offending.append(f"  {CountedBy.LINE.numbered(number)}: {_as_chinese(raw, position)}")
            if len(offending) == OFFENDING_LINES:
                break
    raise ManifestError(*_not_text(source, encoding, offending))


def _not_text(source: Source, encoding: Encoding, offending: list[str]) -> list[str]:
    """Return the lines of the message for a file that is not of its encoding."""
    what = f"{source.name}: this is not {encoding.label} text"
    if not offending:
        return [f"{what} from its first to its last byte. Save it as UTF-8"]
    if encoding.codec != "utf-8" and _accepts(source.all_blocks(), Encoding("utf-8", "UTF-8")):
        return [f"{what}:", *offending, "It is UTF-8: leave --encoding out"]
    head = [f"{what}. The first lines at fault, as {CHINESE.upper()} reads them:", *offending]
    if encoding.codec != CHINESE and _accepts(source.all_blocks(), Encoding(CHINESE, CHINESE)):
        return [*head, f"If that reads well, use --encoding {CHINESE}; otherwise save the file as UTF-8"]
    return [*head, "Not all of it can be read that way either: save the file as UTF-8"]


def stream_fault(
    name: str, line: int, before: str, *, encoding: Encoding, fault: UnicodeDecodeError
) -> ManifestError:
    """Return the error for a line of a stream that is not of its encoding.

    ``before`` is the readable part of that line.
    """
    where = f"{CountedBy.LINE.place(name, line)}: not {encoding.label} text"
    if encoding.codec.startswith(("utf-16", "utf-32")):
        return ManifestError(f"{where}, after {shown(before, around=len(before))!r}. Save it as UTF-8")
    end = fault.object.find(b"\n", fault.start)
    rest = fault.object[fault.start : end if end >= 0 else None][:LONGEST_BYTES]
    raw = before.encode(encoding.codec, "replace") + rest
    line_shown = f"  {_as_chinese(raw, len(raw) - len(rest))}"
    if encoding.codec == CHINESE or not _decodes(raw, CHINESE, whole=end >= 0):
        return ManifestError(f"{where}:", line_shown, "Save it as UTF-8")
    remedy = f"If that reads well, use --encoding {CHINESE}; otherwise save it as UTF-8"
    return ManifestError(f"{where}. As {CHINESE.upper()} reads it:", line_shown, remedy)


_TAR_AT = 257
"""The place of the mark of tar archives."""


def nul_fault(name: str, line: int, before: str = "", *, block: bytes) -> ManifestError:  # noqa: ARG001
    """Return the error for a NUL on ``line``; ``block`` is the beginning of the file, to detect UTF-16."""
    if block[_TAR_AT:].startswith(b"ustar"):
        return ManifestError(f"{name}: this is a tar archive, not text. Unpack it, and name the file in it")
    even, odd = block[::2].count(0), block[1::2].count(0)
    codec = "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else None
    likely = codec if odd + even > len(block) // 8 and codec and _decodes(block, codec, whole=False) else None
    hint = f"If it is UTF-16, use --encoding {likely}; otherwise e" if likely else "E"
    where = CountedBy.LINE.place(name, line)
    return ManifestError(
        f"{where}: holds a NUL byte, so this is binary, or UTF-16 without a byte-order mark. "
        f"{hint}xport it as CSV in UTF-8"
    )


def _accepts(blocks: Iterable[bytes], encoding: Encoding) -> bool:
    """Whether all bytes are text of this encoding, without a NUL."""
    decoder = encoding.decoder()
    plain = encoding.codec == "utf-8"  # then ASCII needs no decoding, unless a character is half read
    try:
        for number, block in enumerate(blocks):
            if plain and block.isascii() and not decoder.getstate()[0]:
                if b"\0" in block:
                    return False
            elif "\0" in decoder.decode(block[encoding.mark_length :] if number == 0 else block):
                return False
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _byte_lines(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines of bytes; a line without an end is cut where it becomes too long to show."""
    number, tail = 1, b""
    for block in blocks:
        lines = (tail + block).splitlines(keepends=True)
        tail = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield number, line
            number += 1
        if len(tail) > LONGEST_BYTES and not tail.endswith(b"\r"):
            yield number, tail
            tail = b""
    if tail:
        yield number, tail


def _undecodable_at(raw: bytes, encoding: Encoding) -> int | None:
    """Return the position where a line stops being text of this encoding; None when all of it is."""
    if encoding.codec == "utf-8" and raw.isascii():
        return None
    try:
        raw.decode(encoding.codec)
    except UnicodeDecodeError as exc:
        return exc.start
    return None


def _decodes(raw: bytes, codec: str, *, whole: bool) -> bool:
    """Whether bytes are text of an encoding, without a NUL; ``whole``: their last character is complete."""
    try:
        return "\0" not in codecs.getincrementaldecoder(codec)("strict").decode(raw, whole)
    except UnicodeDecodeError:
        return False


def _as_chinese(raw: bytes, position: int) -> str:
    """Return a line decoded as GB18030, or with its bytes escaped when that fails."""
    raw = raw.rstrip(b"\r\n")
    try:
        text = raw.decode(CHINESE)
    except UnicodeDecodeError:
        return shown(raw.decode("ascii", "backslashreplace"), around=position)
    return shown(text, around=position)
