"""What the report says: the same in both languages, and nothing that nobody asks for."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import batcher.report.html.phrases as phrases
from batcher.model.history import Doubt
from batcher.model.submission import EndpointKind, State
from batcher.model.task import PictureState, TaskState
from batcher.report.html.contents import shares
from batcher.report.html.phrases import CHINESE, ENGLISH, Language, speaker
from batcher.report.html.render import seen

PAGE = Path(phrases.__file__).parent


def fields(phrase: str) -> set[str]:
    """What is put into a phrase."""
    return {name for _, name, _, _ in Formatter().parse(phrase) if name}


def plain(names: set[str]) -> set[str]:
    """Without those for a single thing, which Chinese has no need of."""
    return {name for name in names if not name.endswith(".one")}


def test_every_phrase_is_there_in_both_languages() -> None:
    """And takes the same figures and names."""
    assert plain(set(ENGLISH)) == set(CHINESE)
    assert {name: fields(CHINESE[name]) for name in CHINESE} == {
        name: fields(ENGLISH[name]) for name in CHINESE
    }


def test_one_thing_is_not_said_with_more_than_the_phrase_for_many_knows() -> None:
    """A phrase for a single thing takes nothing that the one for many does not."""
    single = [name for name in ENGLISH if name.endswith(".one")]
    assert [
        one for one in single if not fields(ENGLISH[one]) <= fields(ENGLISH[one.removesuffix(".one")])
    ] == []


def test_every_state_has_a_word() -> None:
    """Whatever the ledger holds can be said."""
    kinds = {
        "state": State,
        "task": TaskState,
        "picture": PictureState,
        "doubt": Doubt,
        "place": EndpointKind,
    }
    wanted = {f"{kind}.{one.value}" for kind, words in kinds.items() for one in words}
    assert wanted - set(ENGLISH) == set()


def test_no_phrase_is_left_that_nobody_says() -> None:
    """Each is asked for by the page or by what is drawn on it."""
    text = "".join(file.read_text("utf-8") for file in PAGE.iterdir() if file.suffix in (".py", ".html"))
    text = re.sub(r'^    "[\w.]+": .*$', "", text, flags=re.MULTILINE)
    said = set(re.findall(r"[\"']([a-z_]+(?:\.[a-z_]+)*\.?)[\"']", text))
    families = tuple(name for name in said if name.endswith("."))
    unsaid = {name for name in plain(set(ENGLISH)) if name not in said and not name.startswith(families)}
    assert unsaid - {"rate.many"} == set()


@pytest.mark.parametrize("language", list(Language))
def test_phrases_hold_no_markup(language: Language) -> None:
    """What they are given is text, and so are they."""
    table = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}[language]
    assert [name for name, phrase in table.items() if re.search(r"[<>&]", phrase)] == []


def test_one_is_said_as_one() -> None:
    """Where a language has a word for it."""
    assert speaker(Language.ENGLISH)("sheet.rest", n=1) == "1 more recording"
    assert speaker(Language.ENGLISH)("sheet.rest", n=1200) == "1,200 more recordings"
    assert speaker(Language.CHINESE)("sheet.rest", n=1) == "另外 1 个录制文件"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"a": 3, "b": 1000, "c": 1000}, {"a": 3, "b": 48, "c": 49}),
        ({"a": 10}, {"a": 10}),
        ({"a": 500}, {"a": 100}),
        ({}, {}),
        ({str(n): 7 for n in range(200)}, {str(n): (0 if n < 100 else 1) for n in range(200)}),
    ],
)
def test_room_is_shared_out(groups: dict[str, int], expected: dict[str, int]) -> None:
    """Small groups are shown whole, large ones alike, and never more than there is room for."""
    assert dict(shares(groups, 100)) == expected


def test_nothing_hides_in_a_text() -> None:
    """What turns, hides or is no character is shown by its number; letters of all scripts stay."""
    assert seen("a\u202egpj.exe\x00\ud800") == "a\\u202egpj.exe\\u0000\\ud800"
    assert seen("数学一班 é ✓ \n\t") == "数学一班 é ✓ \n\t"
