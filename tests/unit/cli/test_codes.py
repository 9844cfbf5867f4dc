"""The text of ``batcher codes`` in two languages, and its columns."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from batcher.api.codes import HANDLING_IN_CHINESE, explain_code
from batcher.cli.app import app
from batcher.cli.commands.codes import CHINESE_PIECE
from batcher.flowcontrol.retry_policy import KINDS, CodeKind
from batcher.report.formatting import columns, paragraph
from batcher.zego.codes import (
    IN_CHINESE,
    MEANINGS,
    OF_MERGING,
    OF_MERGING_IN_CHINESE,
    OF_SEARCHES,
    OF_SEARCHES_IN_CHINESE,
    UNKNOWN,
    UNKNOWN_IN_CHINESE,
    meaning_in_chinese,
)

HAN = re.compile("[\u4e00-\u9fff]")
CLOSING = "，。；：、）"


def output_of(*args: str, width: int = 80, charset: str = "utf-8") -> str:
    """The output of ``batcher codes`` at a width."""
    result = CliRunner(charset=charset).invoke(app, ["codes", *args], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_code_has_texts_in_both_languages() -> None:
    """Both tables have the same codes; a code has a remedy in both languages or in neither."""
    assert set(IN_CHINESE) == set(MEANINGS) == set(KINDS)
    assert set(HANDLING_IN_CHINESE) == set(CodeKind)
    assert [code for code in MEANINGS if bool(MEANINGS[code].remedy) != bool(IN_CHINESE[code].remedy)] == []
    texts = [text for one in (*IN_CHINESE.values(), UNKNOWN_IN_CHINESE) for text in (one.text, one.remedy)]
    assert [text for text in texts if text and not HAN.search(text)] == []
    assert [text for text in texts if text.endswith(tuple(CLOSING.replace("）", "")))] == []


def test_remedy_names_the_same_options_in_both_languages() -> None:
    """A variable, option or command that the English remedy names is named by the Chinese one, too."""
    named = re.compile(r"BATCHER_\w+|--\w+|`[^`]+`|AppId|ServerSecret|RequestId")
    pairs = {code: (MEANINGS[code].remedy, IN_CHINESE[code].remedy) for code in MEANINGS}
    assert {
        code: both
        for code, both in pairs.items()
        if set(named.findall(both[0])) != set(named.findall(both[1]))
    } == {}


@pytest.mark.parametrize(
    ("code", "documented"),
    [
        (2, "输入参数错误"),
        (3, "未开通相关权限"),
        (4, "CDN 类型不匹配"),
        (6, "请求过于频繁"),
        (7, "鉴权失败"),
        (1000, "请求失败"),
        (41003, "文件不存在"),
    ],
)
def test_chinese_meaning_begins_with_the_words_of_the_documentation(code: int, documented: str) -> None:
    """A user with the vendor's page open finds its words again."""
    assert meaning_in_chinese(code).text.startswith(documented)
    assert documented in output_of(str(code))


@pytest.mark.parametrize("width", [66, 80, 200])
def test_texts_begin_in_one_column(width: int) -> None:
    """Labels and the lines that follow begin their text in the same column, and none is too wide."""
    lines = output_of(width=width).splitlines()
    assert max(map(cell_len, lines)) <= min(width, 100)
    bodies = [line for line in lines if line and not line.startswith("code ")]
    starts = {cell_len(line) - cell_len(re.sub(r"^  (\S+ +| {10,})", "", line)) for line in bodies}
    assert starts == {12}
    assert [line for line in bodies if line.strip()[0] in CLOSING] == []


def test_one_code_prints_english_then_chinese() -> None:
    """An undocumented code has texts in both languages, too."""
    one = output_of("1000").splitlines()
    assert one[0] == "code 1000: the request failed; a wrong FileId also gets this code"
    assert "  含义：    请求失败；FileId 有误时也返回此码。" in one
    assert one[-2].startswith("  您：      检查文件 ID；若无误，请联系 ZEGO 技术支持")
    unknown = output_of("424242")
    assert "not in the documentation" in unknown
    assert "文档未列出此返回码" in unknown


def test_terminal_without_chinese_gets_english_only() -> None:
    """Nothing breaks, and nothing is printed as question marks."""
    text = output_of("1000", charset="latin-1")
    assert text.startswith("code 1000: the request failed")
    assert "?" not in text
    assert HAN.search(text) is None
    assert "含义" in output_of("1000", charset="gb18030")


def test_latin_words_are_not_split_across_lines() -> None:
    """A line ends between Chinese characters or next to a word, never within a word or before a mark."""
    text = "检查 BATCHER_APP_ID 和 ServerSecret，然后再次运行。"
    for width in range(26, 60):
        lines = paragraph("您：", text, width=width, label_width=6, pieces=CHINESE_PIECE).splitlines()
        assert max(map(columns, lines)) <= width
        assert any("BATCHER_APP_ID" in line for line in lines)
        assert any("ServerSecret，" in line for line in lines)
        joined = "".join(
            line[len(line) - len(line.lstrip()) :] for line in [lines[0].partition("：")[2], *lines[1:]]
        )
        assert joined.replace(" ", "") == text.replace(" ", "")


def test_columns_of_texts_equal_those_of_rich() -> None:
    """Two ways to count the columns of a text agree."""
    texts = [text for one in IN_CHINESE.values() for text in (one.text, one.remedy)]
    assert [text for text in (*texts, *HANDLING_IN_CHINESE.values()) if columns(text) != cell_len(text)] == []


@pytest.mark.parametrize(
    ("code", "english", "chinese", "call"),
    [
        (8, "the authentication configuration could not be read", "鉴权配置读取失败", "SearchMedia"),
        (40000, "a parameter of the merge is not valid", "合并任务的输入参数不合法", "compose"),
        (60000, "a source file is damaged", "源文件错误", "compose"),
        (70000, "an internal error of the service", "服务内部错误", "compose"),
    ],
)
def test_code_of_another_call_names_that_call(code: int, english: str, chinese: str, call: str) -> None:
    """The number means this in one call only; a submission that got it has an undocumented code."""
    one = output_of(str(code))
    assert one.startswith(f"code {code}: {english}\n  only:")
    assert [call in line for line in one.splitlines() if line.startswith(("  only:", "  仅见于："))] == [
        True
    ] * 2
    assert chinese in one
    assert one in output_of()
    assert explain_code(code).meaning is UNKNOWN


def test_codes_do_not_point_to_show() -> None:
    """A code may come from a search or a check, which have no submission to show."""
    assert "batcher show" not in output_of()
    assert "RequestId" in output_of("5")


def test_texts_of_other_calls_agree_in_both_languages() -> None:
    """Both tables have the same codes, and a remedy each."""
    for english, chinese in ((OF_SEARCHES, OF_SEARCHES_IN_CHINESE), (OF_MERGING, OF_MERGING_IN_CHINESE)):
        assert set(english) == set(chinese)
        assert not set(english) & set(MEANINGS)
        assert all(one.remedy for one in (*english.values(), *chinese.values()))
        assert all(HAN.search(one.text) for one in chinese.values())
