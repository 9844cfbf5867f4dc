"""The phrases of the report: the same in both languages, and each is used."""

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
    """The values that a phrase takes."""
    return {name for _, name, _, _ in Formatter().parse(phrase) if name}


def plain(names: set[str]) -> set[str]:
    """Without those for a single thing, which Chinese has no need of."""
    return {name for name in names if not name.endswith(".one")}


def test_every_phrase_exists_in_both_languages() -> None:
    """Both have the same fields."""
    assert plain(set(ENGLISH)) == set(CHINESE)
    assert {name: fields(CHINESE[name]) for name in CHINESE} == {
        name: fields(ENGLISH[name]) for name in CHINESE
    }


def test_singular_phrase_has_no_other_fields_than_plural() -> None:
    """A phrase for one thing has only fields that the phrase for many has."""
    single = [name for name in ENGLISH if name.endswith(".one")]
    assert [
        one for one in single if not fields(ENGLISH[one]) <= fields(ENGLISH[one.removesuffix(".one")])
    ] == []


def test_every_state_has_a_word() -> None:
    """Every state in the ledger has a phrase."""
    kinds = {
        "state": State,
        "task": TaskState,
        "picture": PictureState,
        "doubt": Doubt,
        "place": EndpointKind,
    }
    wanted = {f"{kind}.{one.value}" for kind, words in kinds.items() for one in words}
    assert wanted - set(ENGLISH) == set()


def test_every_phrase_is_used() -> None:
    """Each phrase is used by the page or by a plot."""
    text = "".join(file.read_text("utf-8") for file in PAGE.iterdir() if file.suffix in (".py", ".html"))
    text = re.sub(r'^    "[\w.]+": .*$', "", text, flags=re.MULTILINE)
    said = set(re.findall(r"[\"']([a-z_]+(?:\.[a-z_]+)*\.?)[\"']", text))
    families = tuple(name for name in said if name.endswith("."))
    unsaid = {name for name in plain(set(ENGLISH)) if name not in said and not name.startswith(families)}
    assert unsaid - {"rate.many"} == set()


@pytest.mark.parametrize("language", list(Language))
def test_phrases_have_no_markup(language: Language) -> None:
    """Phrases and their fields are text."""
    table = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}[language]
    assert [name for name, phrase in table.items() if re.search(r"[<>&]", phrase)] == []


def test_one_thing_has_singular_phrase() -> None:
    """English has a phrase for one thing; Chinese needs none."""
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
def test_room_is_shared_between_groups(groups: dict[str, int], expected: dict[str, int]) -> None:
    """Small groups are shown completely, large ones equally, and never more than fit."""
    assert dict(shares(groups, 100)) == expected


def test_invisible_characters_are_shown_by_number() -> None:
    """Characters that hide or reverse text are shown by their numbers; letters of all scripts stay."""
    assert seen("a\u202egpj.exe\x00\ud800") == "a\\u202egpj.exe\\u0000\\ud800"
    assert seen("数学一班 é ✓ \n\t") == "数学一班 é ✓ \n\t"
