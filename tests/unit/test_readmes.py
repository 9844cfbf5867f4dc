"""The two READMEs say the same: block beside block, in English and in Chinese.

What a translation must not touch is compared: structure, code, links, figures. The words are not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from support.command_table import COMMANDS

ROOT: Final = Path(__file__).parents[2]
ENGLISH: Final = "README.md"
CHINESE: Final = "README.zh-CN.md"
BOTH: Final = [ENGLISH, CHINESE]

INNER: Final = {f"ledger {inner}" for inner in COMMANDS["ledger"].commands}
NAMES: Final = INNER | set(COMMANDS)
MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
FIGURE: Final = re.compile(r"\d+(?:[.,:]\d+)*")
VARIABLE: Final = re.compile(r"\bBATCHER_[A-Z_]+")


@dataclass(frozen=True)
class Block:
    """One paragraph, heading, cell or piece of code, and what of it no language changes."""

    line: int
    section: int
    text: str
    kept: dict[str, list[str]]


@dataclass(frozen=True)
class Page:
    """A README, read as GitHub reads it."""

    name: str
    text: str

    def tokens(self) -> list[Token]:
        """The page as Markdown has it."""
        return MARKDOWN.parse(self.text)

    def headings(self) -> list[str]:
        """The headings' texts in their order."""
        tokens = self.tokens()
        return [plain(tokens[at + 1]) for at, one in enumerate(tokens) if one.type == "heading_open"]

    def anchors(self) -> dict[str, str]:
        """Each heading's anchor, with the heading's number, which is the same in both languages."""
        times: Counter[str] = Counter()
        found = {}
        for number, name in enumerate(map(slug, self.headings()), 1):
            found[f"#{name}-{times[name]}" if times[name] else f"#{name}"] = f"heading {number}"
            times[name] += 1
        return found

    def links(self) -> list[str]:
        """The targets of all links, as they are written."""
        return [one for token in self.tokens() for one in targets(token)]

    def code(self) -> str:
        """All that is code, in blocks and in lines."""
        tokens = [one for token in self.tokens() for one in (token, *(token.children or ()))]
        return "\n".join(one.content for one in tokens if one.type in ("fence", "code_block", "code_inline"))

    def commands(self) -> set[str]:
        """The commands that are named in code, ``ledger prune`` as one of them."""
        code = self.code()
        return {one for one in NAMES if re.search(rf"\bbatcher {one}\b", code)}

    def blocks(self) -> Iterator[Block]:
        """All blocks in their order; a section is the number of headings before it."""
        anchors = self.anchors()
        section, line, around = 0, 1, ""
        for token in self.tokens():
            line = token.map[0] + 1 if token.map else line
            section += token.type == "heading_open"
            if token.type == "inline":
                yield Block(line, section, token.content, {"kind": [around], **kept(token, anchors)})
                around = ""
            elif token.nesting == 0:
                code = token.content.splitlines()
                kind = [around + token.type, token.info]
                yield Block(line, section, token.content, {"kind": kind, "code": code})
                around = ""
            elif token.nesting == 1:
                around += f"<{token.tag}>"


def read(name: str) -> Page:
    """One of the two, from the checkout."""
    return Page(name, (ROOT / name).read_text("utf-8"))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: lower case, letters of any script, blanks as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def plain(inline: Token) -> str:
    """A text's words, marks taken off."""
    return "".join(one.content for one in inline.children or () if one.type in ("text", "code_inline"))


def targets(inline: Token) -> list[str]:
    """Where a text's links lead; the parser has turned letters outside ASCII into percents."""
    opened = [one for one in inline.children or () if one.type == "link_open"]
    return [unquote(str(one.attrs["href"])) for one in opened]


def kept(inline: Token, anchors: dict[str, str]) -> dict[str, list[str]]:
    """The parts of a text that every language has; sorted, since each language orders its words."""
    children = inline.children or ()
    texts = " ".join(one.content for one in children if one.type == "text")
    places = anchors | dict.fromkeys(BOTH, "the other README")
    return {
        "inline code": sorted({one.content for one in children if one.type == "code_inline"}),
        "links": sorted(places.get(one, one) for one in targets(inline)),
        "figures": sorted(set(FIGURE.findall(texts))),
        "emphasis": [
            "*" for one in children if one.type in ("em_open", "strong_open")
        ],  # Chinese has no italics
    }


def differences(english: Page, chinese: Page) -> list[str]:
    """The parts that only one of the two has, by section and line; ends where blocks no longer pair up."""
    found: list[str] = []
    titles = ["", *english.headings()]
    skipped = "links" if len(english.headings()) != len(chinese.headings()) else ""  # numbered by heading
    for one, other in zip_longest(english.blocks(), chinese.blocks()):
        if one is None or other is None:
            name, rest = (english.name, one) if other is None else (chinese.name, other)
            return [*found, f"only in {name}, line {rest.line if rest else 0}: {rest.text if rest else ''}"]
        where = f'section "{titles[one.section]}", {english.name} {one.line}, {chinese.name} {other.line}'
        found += [f"{where}: {what}" for what in apart(one.kept, other.kept, skipped)]
        if one.kept["kind"] != other.kept["kind"]:
            return found
    return found


def apart(mine: dict[str, list[str]], theirs: dict[str, list[str]], skipped: str) -> list[str]:
    """The kept parts of a block that are in one language only; a part may be skipped."""
    unlike = [what for what in mine if what != skipped and mine[what] != theirs.get(what, mine[what])]
    return [
        f"{what}: {only(mine[what], theirs[what])} and {only(theirs[what], mine[what])}" for what in unlike
    ]


def only(these: list[str], those: list[str]) -> list[str]:
    """The parts of one that the other lacks; all of them when only the order or the number differs."""
    return [one for one in these if one not in those] or these


def test_chinese_readme_mirrors_the_english_one() -> None:
    """Headings, code, lists, tables, inline code, links and figures are the same, block by block."""
    found = differences(read(ENGLISH), read(CHINESE))
    assert found == [], "\n".join(["", *found])


ONE = Page(
    "ONE",
    """# batcher

Twice, at 20 a second: see [Work](#work) and `batcher load`. **Nothing** is lost.

## Rows

| a | b |
| --- | --- |
| `x` | 1 |
| `y` | 2.5 |

## Work

    batcher load a.csv
    batcher run

1. first
2. second

The [licence](LICENSE).
""",
)
OTHER = Page(
    "OTHER",
    """# batcher

两次，每秒 20 次：见 `batcher load` 和[工作](#工作)。**什么都不**丢。

## 行

| 甲 | 乙 |
| --- | --- |
| `x` | 1 |
| `y` | 2.5 |

## 工作

    batcher load a.csv
    batcher run

1. 其一
2. 其二

[许可证](LICENSE)。
""",
)


def test_words_and_their_order_are_the_languages_own() -> None:
    """Two pages that differ in nothing but words have no differences."""
    assert differences(ONE, OTHER) == []


@pytest.mark.parametrize(
    ("there", "instead", "expected"),
    [
        ("## 工作", "### 工作", "section \"Work\", ONE 12, OTHER 12: kind: ['<h2>'] and ['<h3>']"),
        ("## 行\n", "", "section \"Rows\", ONE 5, OTHER 6: kind: ['<h2>'] and ['<table><thead><tr><th>']"),
        ("20 次", "二十次", "section \"batcher\", ONE 3, OTHER 3: figures: ['20'] and []"),
        ("2.5", "25", "section \"Rows\", ONE 10, OTHER 10: figures: ['2.5'] and ['25']"),
        ("| `x` | 1 |\n", "", "section \"Rows\", ONE 9, OTHER 9: inline code: ['x'] and ['y']"),
        ("| 甲 | 乙 |\n| --- | --- |", "| 甲 |\n| --- |", "kind: ['<th>'] and ['<tbody><tr><td>']"),
        ("`batcher load`", "`batcher loads`", "inline code: ['batcher load'] and ['batcher loads']"),
        ("(#工作)", "(#行)", "links: ['heading 3'] and ['heading 2']"),
        ("(#工作)", "(#做工)", "links: ['heading 3'] and ['#做工']"),
        ("LICENSE", "SECURITY.md", "links: ['LICENSE'] and ['SECURITY.md']"),
        ("**什么都不**丢", "**什么都不。**丢", "emphasis: ['*'] and []"),
        ("1. 其一\n2. 其二", "- 其一\n- 其二", "kind: ['<ol><li><p>'] and ['<ul><li><p>']"),
        ("    batcher run", "    batcher run -q", "code: ['batcher run'] and ['batcher run -q']"),
        ("\n[许可证](LICENSE)。\n", "", "only in ONE, line 20: The [licence](LICENSE)."),
        ("LICENSE)。\n", "LICENSE)。\n\n多出的一段。\n", "only in OTHER, line 22: 多出的一段。"),
    ],
)
def test_difference_of_the_readmes_is_reported_with_its_section(
    there: str, instead: str, expected: str
) -> None:
    """A heading, a row, a figure, a name, a link or a line of code that only one of them has."""
    assert there in OTHER.text
    found = differences(ONE, Page("OTHER", OTHER.text.replace(there, instead)))
    assert found
    assert expected in found[0]


def test_both_know_the_same_commands_and_variables() -> None:
    """Every command of batcher's, and every variable that one of them names, is in the other."""
    english, chinese = read(ENGLISH), read(CHINESE)
    assert NAMES == english.commands() == chinese.commands()
    assert set(VARIABLE.findall(english.text)) == set(VARIABLE.findall(chinese.text))


@pytest.mark.parametrize("name", BOTH)
def test_every_link_inside_leads_somewhere(name: str) -> None:
    """Anchors are those of headings, and files are in the checkout."""
    page = read(name)
    inside = [one for one in page.links() if "://" not in one]
    anchors = [one for one in inside if one.startswith("#")]
    assert anchors
    assert [one for one in anchors if one not in page.anchors()] == []
    assert [one for one in inside if one not in anchors and not (ROOT / one).exists()] == []


def test_each_readme_links_the_other() -> None:
    """The link is before the first section."""
    assert CHINESE in Page(ENGLISH, read(ENGLISH).text.split("\n## ", 1)[0]).links()
    assert ENGLISH in Page(CHINESE, read(CHINESE).text.split("\n## ", 1)[0]).links()


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("As a library", "as-a-library"),
        ('States, and what "in doubt" means', "states-and-what-in-doubt-means"),
        ("状态，以及“存疑”的含义", "状态以及存疑的含义"),
        ("用 `batcher_run` 运行", "用-batcher_run-运行"),
        ("Full-width（全角）", "full-width全角"),
    ],
)
def test_anchor_is_made_as_github_makes_it(heading: str, expected: str) -> None:
    """Marks go, of any script; letters of any script stay."""
    assert ["#" + expected] == list(Page("", f"## {heading}\n").anchors())


def test_repeated_heading_is_numbered() -> None:
    """The second of a name gets a number."""
    assert list(Page("", "# A\n\n# A\n").anchors()) == ["#a", "#a-1"]


def as_printed(inline: Token) -> str:
    """A text as it is read, code as a letter; bold parts stand alone, since their marks need blanks."""
    drawn = {"code_inline": "x", "softbreak": " ", "strong_open": "\n", "strong_close": "\n"}
    return "".join(drawn.get(one.type, one.content) for one in inline.children or ())


@pytest.mark.parametrize(
    "wrong",
    [
        r"[\u4e00-\u9fff] ?[,;:?!()]",
        r"[\u4e00-\u9fff]\.(?:\s|$)",
        r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9%][\u4e00-\u9fff]",
        r"[\u4e00-\u9fff] [\u4e00-\u9fff]",
        r"[，。；：、（）“”] | [，。；：、（）“”]",
    ],
    ids=["half-width mark", "full stop", "no blank to Latin", "blank inside Chinese", "blank beside a mark"],
)
def test_chinese_is_set_as_chinese(wrong: str) -> None:
    """Full-width marks without blanks beside them, and one blank between Chinese and Latin."""
    texts = [as_printed(token) for token in read(CHINESE).tokens() if token.type == "inline"]
    assert [text for text in texts if re.search(wrong, text)] == []
