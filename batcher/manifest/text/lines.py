"""A manifest's bytes as lines of text: decoded strictly, numbered, of bounded length.

Called by :mod:`batcher.manifest.reader` for every format of text. Holds one block at a time; never skips,
repairs or guesses anything: the first byte that is not text ends the reading.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from batcher.errors import ManifestError
from batcher.manifest.sources.local import Source, Unread
from batcher.manifest.text.encoding import Encoding, check_text, encoding_of, nul_fault, stream_fault
from batcher.model.submission import CountedBy

MAX_LINE = 1 << 20
"""The limit of characters in one line, and in one row over several lines."""

HEAD_BYTES = 16
"""Enough bytes to recognize a byte-order mark and files that are not text."""

_KEPT = 200
"""The number of characters kept of an unfinished line, for messages."""

_MARK = "\ufeff"
"""A byte-order mark, decoded."""

_OTHER_BREAKS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
"""Characters that end a line for ``str.splitlines`` and not in CSV."""

_Fault = Callable[[str, int, str], ManifestError]
"""Makes the error from the manifest's name, the line, and the readable part of that line."""


class Text:
    """A source whose bytes are text."""

    def __init__(self, source: Source, requested: str | None) -> None:
        """Find out the encoding; ``requested`` is the one that the user named.

        Raises:
            ManifestError: it is not known, or the bytes are not text.
        """
        self._source = source
        self._encoding = encoding_of(source.name, source.peek(HEAD_BYTES), requested)
        self.name = source.name

    def lines(self, max_line: int = MAX_LINE) -> Iterator[list[str]]:
        """See :func:`line_blocks`."""
        source = self._source
        return line_blocks(self.name, source.read(), source.read, self._encoding, max_line)

    def blocks(self) -> Iterator[str]:
        """See :func:`text_blocks`."""
        return text_blocks(self.name, self._source.read(), self._source.read, self._encoding)

    def check(self) -> None:
        """Check that all bytes of a local file are text; a stream passes.

        Raises:
            ManifestError: they are not, or cannot be read.
        """
        if self._source.checkable:
            check_text(self._source, self._encoding)


def text_blocks(name: str, first: bytes, read: Callable[[], bytes], encoding: Encoding) -> Iterator[str]:
    """Yield text as it is read, without regard to lines; the text before a fault is yielded first.

    Raises:
        ManifestError: bytes that are not of this encoding, or a NUL.
    """
    line, tail = 1, ""
    decoded = _decoded(chain((first[encoding.mark_length :],), iter(read, b"")), encoding)
    for text, fault in decoded:
        if text:
            yield text
        line += text.count("\n")
        tail = (tail + text).rpartition("\n")[2][-_KEPT:]
        if fault:
            raise fault(name, line, tail)


def line_blocks(
    name: str, first: bytes, read: Callable[[], bytes], encoding: Encoding, max_line: int = MAX_LINE
) -> Iterator[list[str]]:
    """Yield lines with their ends, block by block, from ``first`` and then from ``read`` until its end.

    Byte-order marks at the start of a line are left out: joined files have them. Lines end with ``\\n``,
    ``\\r\\n`` or ``\\r``. All lines before a fault are yielded first.

    Raises:
        ManifestError: bytes that are not of this encoding, a NUL, or a line that is too long.
    """
    line, tail = 1, ""
    decoded = _decoded(chain((first[encoding.mark_length :],), iter(read, b"")), encoding)
    for text, fault in decoded:
        lines = split_lines(tail + text)
        if _MARK in text:
            lines = [one.lstrip(_MARK) for one in lines]
        tail = _take_unfinished(lines, ends=("\n", "\r") if fault else "\n")
        if lines:
            _refuse_too_long(name, line, lines[0], max_line)
            yield lines
            line += len(lines)
        if fault:
            raise fault(name, line, tail)
        _refuse_too_long(name, line, tail, max_line)
    if tail:
        yield [tail]


def split_lines(text: str) -> list[str]:
    """Split a text after every line end of CSV, ends kept."""
    if any(mark in text for mark in _OTHER_BREAKS):
        return io.StringIO(text, newline="").readlines()  # exact, and slower
    return text.splitlines(keepends=True)


def _decoded(blocks: Iterator[bytes], encoding: Encoding) -> Iterator[tuple[str, _Fault | None]]:
    """Yield the text of each block; with the last one, the fault of the byte that follows it."""
    decoder = encoding.decoder()
    try:
        for number, block in enumerate(chain(blocks, (b"",))):
            state, fault = decoder.getstate(), None
            try:
                text = decoder.decode(block, final=not block and number > 0)
            except UnicodeDecodeError as exc:
                # Less what was left from before.
                good_bytes = max(0, exc.start - len(exc.object) + len(block))
                decoder.setstate(state)
                text = decoder.decode(block[:good_bytes])
                fault = partial(stream_fault, encoding=encoding, fault=exc)
            if (nul := text.find("\0")) >= 0:
                text, fault = text[:nul], partial(nul_fault, block=b"" if number else block)
            yield text, fault
            if fault:
                return
    except Unread as exc:
        unread = exc
        yield "", lambda name, line, _: unread.at(CountedBy.LINE.place(name, line))


def _take_unfinished(lines: list[str], ends: str | tuple[str, ...]) -> str:
    """Remove and return the last line if it may continue in the next block (``\\r`` may precede ``\\n``)."""
    return lines.pop() if lines and not lines[-1].endswith(ends) else ""


def _refuse_too_long(name: str, number: int, line: str, max_line: int) -> None:
    if len(line) > max_line:
        raise ManifestError(
            f"{CountedBy.LINE.place(name, number)}: longer than {max_line:,} characters. This is not a table "
            "of recordings, or its line ends are lost. Export it again as CSV"
        )
