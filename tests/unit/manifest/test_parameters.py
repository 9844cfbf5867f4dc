"""Numbers, lists of times, and the defaults that complete a row."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.errors import SettingsError
from batcher.manifest.parameters import (
    MAX_DIGITS,
    Defaults,
    GivenParameters,
    definition_of,
    interval_of,
    number_of,
    offsets_of,
    resolve,
)

PLAIN_NUMBERS = st.from_regex(r"[0-9]{1,8}(\.[0-9]{0,6})?", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", "10"),
        ("010", "10"),
        ("10.0", "10"),
        ("10.", "10"),
        ("2.50", "2.5"),
        (".5", "0.5"),
        ("0", "0"),
        ("00.00", "0"),
        ("100", "100"),
        ("0.000001", "0.000001"),
        ("0" * 40 + "1", "1"),
        ("9" * MAX_DIGITS, "9" * MAX_DIGITS),
    ],
)
def test_equal_numbers_have_one_text(text: str, expected: str) -> None:
    """Numbers are compared as numbers, so each has one way of being written."""
    assert expected == number_of(text)


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1e3", "1E3", "nan", "inf", "1_000", "1,5", "0x10", ".", "１０", "1 0", "9" * 16, "1" * 61],
)
def test_only_plain_numbers_are_accepted(text: str) -> None:
    """No sign, no exponent, no other digits than ASCII's, no more of them than can be kept exactly."""
    with pytest.raises(ValueError, match=r"is not a plain number|has more than 15 digits"):
        number_of(text)


@given(PLAIN_NUMBERS, PLAIN_NUMBERS)
def test_texts_are_equal_exactly_when_their_numbers_are(one: str, other: str) -> None:
    """The text of a number is its value only."""
    assert (Decimal(one) == Decimal(other)) == (number_of(one) == number_of(other))
    assert Decimal(one) == Decimal(number_of(one))


@given(PLAIN_NUMBERS, st.integers(0, 3), st.integers(0, 3))
def test_equal_numbers_ask_for_the_same(number: str, zeros_before: int, zeros_behind: int) -> None:
    """Two rows that differ only in how they write a number are one submission."""
    point = "" if "." in number else "."
    other = "0" * zeros_before + number + point + "0" * zeros_behind
    asked = [resolve(GivenParameters("hw", "", "", "1", text), GivenParameters()) for text in (number, other)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", ("1",)),
        ("1;2", ("1", "2")),
        ("1,2", ("1", "2")),
        ("3|1|3", ("3", "1", "3")),
        (" 1  2.50\t3 ", ("1", "2.5", "3")),
        ("1; 2 ;;3;", ("1", "2", "3")),
        ("1\n2", ("1", "2")),
        ("[1, 2.50,3]", ("1", "2.5", "3")),
        ("[ ]", ()),
        ("", ()),
    ],
)
def test_times_keep_their_order_and_repeats(text: str, expected: tuple[str, ...]) -> None:
    """Every notation of a list of times gives the same values."""
    assert expected == offsets_of(text)


@pytest.mark.parametrize(
    "text",
    ["1.5,x", "1:2", "[1", '["1"]', "[true]", "[null]", "[NaN]", "[[1]]", "[1e2]", "[-1]", "[" * 99_999],
)
def test_text_that_is_not_a_list_of_times_is_refused(text: str) -> None:
    """A list with anything but plain numbers in it is not sent in part."""
    with pytest.raises(ValueError, match=r"is not a"):
        offsets_of(text)


def test_template_is_a_whole_number_and_interval_above_zero() -> None:
    """A number that no service could use is refused."""
    with pytest.raises(ValueError, match=r"1\.5 is not a whole number"):
        definition_of("1.5")
    with pytest.raises(ValueError, match=r"0 is not more than 0 seconds"):
        interval_of("0")
    assert (definition_of("10.0"), interval_of("0.50")) == ("10", "0.5")


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"vendor": "Ws"}, "vendor: Ws is not one of Tencent, Huawei"),
        ({"vendor": ""}, "vendor: is empty"),
        ({"type": "Sample"}, "type: Sample is not one of SnapshotByTimeOffset, SampleSnapshot"),
        ({"definition": "1.5"}, "definition: 1.5 is not a whole number"),
        ({"interval": "0"}, "interval: 0 is not more than 0 seconds"),
        ({"offsets": ("1", "soon")}, "offsets: soon is not a plain number such as 10 or 2.5"),
        ({"offsets": ("1", " ")}, "offsets: is empty"),
        ({"offsets": "12"}, "offsets: a tuple of them is expected, not one text"),
        ({"definition": 1.5}, "definition: 1.5 is not a whole number"),
        ({"offsets": (1, -2)}, "offsets: -2 is not a plain number such as 10 or 2.5"),
    ],
)
def test_wrong_default_is_refused_by_its_parameter(defaults: dict[str, object], message: str) -> None:
    """A bad default is not a bad row: the message names its parameter."""
    with pytest.raises(SettingsError) as caught:
        Defaults(**defaults)  # type: ignore[arg-type]  # the table mixes texts and tuples
    assert message == str(caught.value)


def test_default_offsets_may_be_given_one_by_one_or_as_a_list() -> None:
    """A repeated flag and one variable with a list mean the same."""
    assert Defaults(offsets=("1", "2")).given == Defaults(offsets=("1;2",)).given


def test_defaults_may_be_numbers() -> None:
    """A number of a program equals its text in a manifest."""
    numbers = Defaults(definition=10, interval=0.00001, offsets=(1, 2.5))
    assert numbers.given == Defaults(definition="10", interval="0.00001", offsets=("1", "2.5")).given
