"""JSON as values in which no number has been a float: text in, numbered values out.

Objects come as tuples of their members, so that a name that stands twice is seen; numbers keep the digits
they were written with. Knows nothing of what a value means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined] # there, and not in the stubs
from json.encoder import encode_basestring
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, unquote, unquote_plus

from batcher.errors import ManifestError
from batcher.model.submission import CountedBy

MAX_VALUE = 1 << 24
"""The most characters of one value: a page of SearchMedia has a tenth of it."""

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
    """Where in ``text`` it begins."""
    end: int
    fault: str = ""
    """Why there is no value; then ``text`` is what was there instead."""

    @property
    def raw(self) -> str:
        """The value as it was written."""
        return self.text[self.at : self.end]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_no_number
)


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
    match value:
        case Number():
            return str(value)
        case str():
            return encode_basestring(value)
        case tuple():
            return "{" + ", ".join(f"{encode_basestring(name)}: {encode(one)}" for name, one in value) + "}"
        case list():
            return "[" + ", ".join(map(encode, value)) + "]"
        case None:
            return "null"
        case _:
            return "true" if value else "false"


def _reason(exc: json.JSONDecodeError) -> str:
    return f"{exc.msg[:1].lower()}{exc.msg[1:]} at character {exc.colno}"


# -- one value a line ----------------------------------------------------------------------------


def lines_of(blocks: Iterator[list[str]]) -> Iterator[JsonValue]:
    """One value from each line that is not blank; a line that is broken is a fault of its own."""
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
                yield JsonValue(number, None, text, 0, len(text), str(exc))


def _line_value(text: str) -> Value:
    """A line as JSON; percent-encoded JSON and the fields of a form are read as what they say.

    Source: service documentation, callbacks: bodies "may be URL-encoded and must then be decoded first".
    """
    if text[0] == "%":
        # Encoders of whole values leave no colon; they are the ones that write a blank as a plus.
        try:
            decoded = unquote(text, errors="strict") if ":" in text else unquote_plus(text, errors="strict")
        except UnicodeDecodeError as exc:
            raise ValueError("is percent-encoded, and not UTF-8") from exc
        return decode(decoded)
    if text[0].isalpha() and "=" in text and " " not in text:
        return _form(text)
    return decode(text)


def _form(text: str) -> Value:
    """The fields of a form; ``extra[name]`` is a member of ``extra``."""
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
    """Values one after the other, white space between them; the elements of an array by themselves."""

    def __init__(self, name: str, blocks: Iterator[str]) -> None:
        self._name = name
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self._line = 1
        """Where ``_at`` is."""
        self._ended = False

    def values(self) -> Iterator[JsonValue]:
        """All values.

        Raises:
            ManifestError: something is no JSON; what follows it cannot be told apart.
        """
        while first := self._next_character():
            if first == "[":
                yield from self._elements()
            else:
                yield self._value()

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
        """The value at hand, pulled in until it is complete."""
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
                if end < len(self._text) or not self._grow():  # a number at the end may go on
                    break
        found = JsonValue(self._line, value, self._text, self._at, end)
        self._take(end)
        return found

    def _next_character(self) -> str:
        """Go to the next character that is no white space; empty at the end."""
        while True:
            self._take(_skip(self._text, self._at))
            if (rest := self._text[self._at : self._at + 1]) or not self._grow():
                return rest

    def _take(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _grow(self) -> bool:
        """Take in as much again as is at hand, so that trying again costs no more than the reading."""
        parts = [self._text[self._at :]]
        if len(parts[0]) > MAX_VALUE:
            raise self._broken(f"a value is longer than {MAX_VALUE:,} characters, or does not end")
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
    """What is wrong with a value that begins on ``line``, and where."""
    found = line + exc.doc.count("\n", at, exc.pos)
    return f"{exc.msg[:1].lower()}{exc.msg[1:]} on {CountedBy.LINE.numbered(found)}"


# -- where something stands inside a value that has been read ------------------------------------


def element_lines(found: JsonValue, path: tuple[str | int, ...]) -> list[int]:
    """On which line each element of the array at ``path`` begins."""
    text = found.text
    if "\n" not in found.raw:
        return []
    at = found.at
    for step in path:
        at = _member(text, at, step) if isinstance(step, str) else _element(text, at, step)
    lines, line, counted = [], found.line, found.at
    for one in _elements(text, at):
        line, counted = line + text.count("\n", counted, one), one
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
    """Past white space."""
    matched = _SPACES.match(text, at)
    return matched.end() if matched else at
