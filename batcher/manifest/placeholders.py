"""What programs write where a value is missing: a text that is certainly not the id of a recording. Pure.

Called by :mod:`batcher.manifest.id_rules`. A Huawei id may be almost any text, so only those are in the table
that a program writes by itself, or that people write for "there is none". Case, width, blanks, ``_`` and
brackets around the text do not count: ``(空)``, ``[NULL]`` and ``Not_Found`` are found by the words inside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

WRITTEN_BY: Mapping[str, tuple[str, ...]] = {
    "Python and pandas": (
        *("none", "nonetype", "nan", "-nan", "+nan", "nat", "na", "pd.na", "pd.nat", "np.nan", "numpy.nan"),
        *("math.nan", "float('nan')", "ellipsis", "notimplemented"),
    ),
    "JavaScript": ("null", "undefined", "infinity", "-infinity", "+infinity", "invalid date"),
    "Java and C#": (
        *("optional.empty", "dbnull", "dbnull.value", "system.dbnull", "system.object", "system.object[]"),
        *("system.string[]", "system.byte[]", "system.collections.hashtable"),
    ),
    "Go, Ruby, PHP, Lua and R": (
        *("nil", "map[]", "array", "object", "userdata", "na_character_", "character(0)", "logical(0)"),
    ),
    "C": ("inf", "-inf", "+inf", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "1.#inf", "-1.#inf"),
    "SQL exports": (
        *("\\n", "\\\\n", "sql null", "isnull", "blob", "clob", "binary", "__hive_default_partition__"),
    ),
    "spreadsheets": ("#n/a", "#na", "#nv", "#n/d", "#null", "#error", "#getting_data", "#name", "#value"),
    "web pages": ("&nbsp;", "&#160;", "&#xa0;", "nbsp", "br", "br/"),
    "English": (
        *("n/a", "n.a.", "n.a", "empty", "blank", "missing", "unknown", "unset", "not set", "tbd", "tba"),
        *("todo", "not available", "not applicable", "not found", "no data", "no value", "no file"),
        *("no id", "no recording", "empty string", "placeholder", "error", "true", "false"),
    ),
    "templates": ("file_id", "your file id", "file id here"),
    "numbers": ("-1", "-1.0", "-9", "-99", "-999", "-9999"),
    "Chinese": (
        *("无", "無", "空", "空值", "空白", "空字符串", "缺失", "缺失值", "未知", "未定义", "暂无", "暫無"),
        *("没有", "沒有", "不存在", "未找到", "找不到", "无数据", "暂无数据", "無資料", "無數據", "无文件"),
        *("无录制", "未录制", "未填", "未填写", "待填", "待填写", "待补", "待补充", "待定", "不详", "不適用"),
        *("不适用", "无效", "无效值", "错误"),
    ),
    "Japanese and Korean": ("なし", "無し", "未定", "不明", "없음"),
}
"""The texts by what writes them, in lower case and without brackets around them."""

_WRITTEN = re.compile(
    r"""
      \[object\ [A-Za-z]+\]                         # JavaScript
    | \[?L?java\.[\w.$]+;?@[0-9a-f]{1,8}            # Java
    | %!\w\(.*\)                                    # Go
    | <(?:class|function|bound\ method|built-in\ \w+|module|generator)\ .*>
    | <.*\ at\ 0x[0-9A-Fa-f]+>                      # Python
    | \#[A-Z\u00a1\u00c0-\u00de/0]{2,20}[!?]        # an error of a spreadsheet, in any language
    | \#+                                           # a column that was too narrow
    | \$\{[^{}]*\} | \{\{[^{}]*\}\}                 # a template that was not filled in
    """,
    re.VERBOSE,
)
_ZEROS = re.compile(r"[+-]?0[0\-:., ]*(?:t[0:.]+z?)?")
"""A zero of any kind: 0, 0.0, the empty UUID, the empty date of databases."""

_OPENING, _CLOSING = "([{<【「《〈", ")]}>】」》〉"
_IGNORED = str.maketrans("", "", " _")

LONGEST = 80
_SHORT = 8
"""Up to this length a text without letters and digits is a placeholder, such as ``-``."""

_MEDIA = (".mp4", ".m3u8", ".flv", ".mp3", ".aac", ".ts", ".mov", ".webm", ".mkv", ".wav", ".m4a")
"""The ends of names that need no look: most manifests hold only these."""


def _plain(text: str) -> str:
    """Return a text as the table is searched: without brackets around it, blanks, ``_``, case and width."""
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    text = text.lower().translate(_IGNORED)
    while len(text) > 2 and text[0] in _OPENING and text[-1] == _CLOSING[_OPENING.index(text[0])]:
        text = text[1:-1]
    return text


PLACEHOLDERS = frozenset(_plain(text) for texts in WRITTEN_BY.values() for text in texts)
"""The table as it is searched."""


def is_placeholder(text: str) -> bool:
    """Whether a text is what a program, or a person, writes where there is no value."""
    if text.endswith(_MEDIA) or len(text) > LONGEST or ("/" in text and len(text) > _SHORT):
        return False
    plain = _plain(text)
    if plain in PLACEHOLDERS or _WRITTEN.fullmatch(text) or _ZEROS.fullmatch(plain):
        return True
    return len(text) <= _SHORT and not any(map(str.isalnum, text))
