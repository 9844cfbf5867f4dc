"""JSON as a stream of values with exact numbers: text in, values with their lines out.

Used by the JSON formats of manifests, and by Parquet for nested values. An object is a tuple of its members,
so that a repeated name is seen; numbers keep the digits they were written with and are never floats. The
meaning of a value is up to the callers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined] # there, and not in the stubs
from json.encoder import encode_basestring
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_plus

from batcher.errors import ManifestError
from batcher.model.submission import CountedBy

MAX_VALUE = 1 << 24
"""The limit of characters in one value: a page of SearchMedia has a tenth of it."""

_SPACE = " \t\r\n\ufeff"
_SPACES = re.compile(f"[{_SPACE}]*")


class Number(str):
    """A number as it was written."""

    __slots__ = ()

    @property
    def whole(self) -> bool:
        """Written without a point or an exponent."""
        return not set(self) & set(".eE")


Members = tuple[tuple[str, "Value"], ...]
Value = str | Number | bool | list["Value"] | Members | None
"""A JSON value; an object is a tuple of its members, in their order."""


class JsonValue(NamedTuple):
    """A value of the outermost level, or an element of an array there."""

    line: int
    value: Value
    text: str
    at: int
    """The position in ``text`` where it begins."""
    end: int
    wrapper: bool = False
    """It stands alone in the text, so that it may be an object around the recordings."""
    fault: str = ""
    """Why there is no value; then ``text`` is the text that was found instead."""

    @property
    def raw(self) -> str:
        """The value as it was written."""
        return self.text[self.at : self.end]


_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=str)
"""``NaN`` and ``Infinity`` are no JSON, and many programs write them: they are read as texts."""


def decode(text: str) -> Value:
    """Read one value and nothing after it.

    Raises:
        ValueError: with the reason.
    """
    try:
        value: Value = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON: {_reason(exc)}") from exc
    except RecursionError as exc:
        raise ValueError("is not JSON of a manifest: it is nested too deeply") from exc
    return value


def encode(value: Value) -> str:
    """Write a value as JSON again, its numbers as they were."""
    try:
        return _encoded(value)
    except RecursionError:  # it was read by the decoder, which gets deeper
        return "".join(_encoded_parts(value))


def _encoded_parts(value: Value) -> Iterator[str]:
    """Yield the text of a value without calls for its parts."""
    waiting: list[tuple[str, Value] | str] = [("", value)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
            continue
        before, value = part
        yield before
        if isinstance(value, tuple):
            names = [f"{', ' if at else ''}{encode_basestring(name)}: " for at, (name, _) in enumerate(value)]
            waiting.append("}")
            waiting += reversed([(name, member) for name, (_, member) in zip(names, value, strict=True)])
            yield "{"
        elif isinstance(value, list):
            waiting.append("]")
            waiting += reversed([(", " if at else "", element) for at, element in enumerate(value)])
            yield "["
        else:
            yield _encoded(value)


def _encoded(value: Value) -> str:
    match value:
        case Number():
            return str(value)
        case str():
            return encode_basestring(value)
        case tuple():
            return (
                "{"
                + ", ".join(f"{encode_basestring(name)}: {_encoded(member)}" for name, member in value)
                + "}"
            )
        case list():
            return "[" + ", ".join(map(_encoded, value)) + "]"
        case None:
            return "null"
        case _:
            return "true" if value else "false"


def _reason(exc: json.JSONDecodeError) -> str:
    return f"{_message(exc)} at character {exc.colno}"


def _message(exc: json.JSONDecodeError) -> str:
    """Return the decoder's message to go before a place: some end in "at"."""
    return f"{exc.msg[:1].lower()}{exc.msg[1:]}".removesuffix(" at")


# -- one value a line ----------------------------------------------------------------------------


def lines_of(blocks: Iterator[list[str]]) -> Iterator[JsonValue]:
    """Yield one value from each line that is not blank; a broken line is a fault of its own."""
    number = 0
    for block in blocks:
        for line in block:
            number += 1
            text = line.strip(_SPACE)
            if not text:
                continue
            try:
                yield JsonValue(number, _line_value(text), text, 0, len(text))
            except ValueError as exc:
                yield JsonValue(number, None, text, 0, len(text), fault=str(exc))


def _line_value(text: str) -> Value:
    """Return the value of a line: JSON, percent-encoded JSON, or the fields of a form.

    Source: service documentation, callbacks: bodies "may be URL-encoded and must then be decoded first".
    """
    if text[0] == "%":
        # Encoders of whole values leave no colon, and write a blank as a plus.
        try:
            decoded = unquote(text, errors="strict") if ":" in text else unquote_plus(text, errors="strict")
        except UnicodeDecodeError as exc:
            raise ValueError("is percent-encoded, and not UTF-8") from exc
        return decode(decoded)
    if text[0].isalpha() and "=" in text and " " not in text:
        return _form(text)
    return decode(text)


def _form(text: str) -> Value:
    """Return the fields of a form as members; ``extra[name]`` is a member of ``extra``."""
    try:
        fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as exc:
        raise ValueError("is neither JSON nor the fields of a form") from exc
    members: list[tuple[str, Value]] = []
    nested: dict[str, list[tuple[str, Value]]] = {}
    for name, value in fields:
        outer, bracket, inner = name.partition("[")
        if bracket and inner.endswith("]"):
            nested.setdefault(outer, []).append((inner[:-1], value))
        else:
            members.append((name, value))
    return (*members, *((name, tuple(inner)) for name, inner in nested.items()))


# -- values over any number of lines -------------------------------------------------------------


class Documents:
    """A text of JSON values with white space between them; each element of an array is a value."""

    def __init__(self, name: str, blocks: Iterator[str]) -> None:
        self._name = name
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self._line = 1
        """The line of the position ``_at``."""
        self._ended = False

    def values(self) -> Iterator[JsonValue]:
        """All values.

        Raises:
            ManifestError: the text is not JSON from some position on; the rest cannot be separated.
        """
        while first := self._next_character():
            if first == "[":
                yield from self._elements()
            else:
                yield self._value()._replace(wrapper=True)

    def _elements(self) -> Iterator[JsonValue]:
        self._take(self._at + 1)
        if self._next_character() == "]":
            self._take(self._at + 1)
            return
        while True:
            yield self._value()
            mark = self._next_character()
            if mark not in ("]", ","):
                raise self._broken(f"a comma or ] is missing between values{'' if mark else ' at the end'}")
            self._take(self._at + 1)
            if mark == "]":
                return
            self._next_character()

    def _value(self) -> JsonValue:
        """Return the value at the present position; more text is read until it is complete."""
        while True:
            at = self._at
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as exc:
                if not self._grow():
                    raise self._broken(_at_line(self._line, at, exc)) from exc
            except RecursionError as exc:
                raise self._broken("it is nested too deeply") from exc
            except ValueError as exc:
                raise self._broken(str(exc)) from exc
            else:
                if end < len(self._text) or not self._grow():  # a number at the end may continue
                    break
        found = JsonValue(self._line, value, self._text, self._at, end)
        self._take(end)
        return found

    def _next_character(self) -> str:
        """Move to the next character that is not white space and return it; "" at the end."""
        while True:
            self._take(_skip(self._text, self._at))
            if (rest := self._text[self._at : self._at + 1]) or not self._grow():
                return rest

    def _take(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _grow(self) -> bool:
        """Read as much text again as is held, so that all tries together cost no more than the reading."""
        parts = [self._text[self._at :]]
        if len(parts[0]) > MAX_VALUE:
            raise self._broken(
                f"a value is longer than {MAX_VALUE:,} characters, or does not end. If it is an object "
                "around the recordings, write their array alone"
            )
        while not self._ended and sum(map(len, parts)) <= 2 * len(parts[0]):
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            else:
                parts.append(block)
        self._text, self._at = "".join(parts), 0
        return len(parts) > 1

    def _broken(self, reason: str) -> ManifestError:
        where = CountedBy.LINE.place(self._name, self._line)
        return ManifestError(f"{where}: is not JSON: {reason}. Export the file again")


def _at_line(line: int, at: int, exc: json.JSONDecodeError) -> str:
    """Return what is wrong with a value that begins on ``line``, and the line of the fault."""
    found = line + exc.doc.count("\n", at, exc.pos)
    return f"{_message(exc)} on {CountedBy.LINE.numbered(found)}"


# -- positions inside a value that has been read --------------------------------------------------


def element_lines(found: JsonValue, path: tuple[str | int, ...]) -> list[int]:
    """Return the line on which each element of the array at ``path`` begins."""
    text = found.text
    if "\n" not in found.raw:
        return []
    at = found.at
    for step in path:
        at = _member(text, at, step) if isinstance(step, str) else _element(text, at, step)
    lines, line, counted = [], found.line, found.at
    for begin in _elements(text, at):
        line, counted = line + text.count("\n", counted, begin), begin
        lines.append(line)
    return lines


def _member(text: str, at: int, name: str) -> int:
    at = _skip(text, at + 1)
    while True:
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)
        if key == name:
            return at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        at = _skip(text, at + 1)


def _element(text: str, at: int, number: int) -> int:
    return list(_elements(text, at))[number]


def _elements(text: str, at: int) -> Iterator[int]:
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        at = _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    """Return the position after white space."""
    matched = _SPACES.match(text, at)
    return matched.end() if matched else at
