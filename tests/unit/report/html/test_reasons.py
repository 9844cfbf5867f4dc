"""The reasons in the ledger have a Chinese text: each is found in its source, also one that is new."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter

import pytest

import batcher
from batcher.api.codes import code_texts_in_chinese
from batcher.exit_codes import ExitCode
from batcher.flowcontrol.findings import CHECK_FIREWALL, OBSTACLE_REMEDIES, fault_of
from batcher.flowcontrol.outage_policy import HoldCause
from batcher.manifest.formats.table import NEVER_CALCULATED
from batcher.model.outcome import Answer, Obstacle
from batcher.report.html import row_reasons, run_reasons
from batcher.report.html.sentences import NESTED, REQUIRED, Catalogue

ROOT = Path(batcher.__file__).parent
RUNS = run_reasons.run_reasons(code_texts_in_chinese())

MAKES_REASONS = re.compile(r"\b(RecordFault|whole|InvalidRow|Unusable|FaultyCell)\(")
"""A module of manifests with one of these makes reasons of invalid rows."""
ALSO = {"id_rules.py", "json_stream.py", "arrow_text.py"}
"""Modules whose reasons others put into rows."""
NOT_IN_LEDGER = {"ManifestError", "SettingsError", "NothingInside", "compile", "append", "_broken", "needed"}
"""Calls whose texts are not reasons of rows."""

NOT_REASONS = (
    "{parameter}: ",
    "{name}",
    "{self._name}",
    "{encode_basestring(",
    "{', ' if at",
    "{scalar.value}",
    "0{len(",
    "{CountedBy.ROW.",
    "{reference}",
    "={''.join(",
    "{shown(event, ",
    "{_message(exc)} on ",
    "a row of more than",
    "a row has more cells",
    "there is no ",
    "{'-' if seconds",
    "is a formula without",
    "has lost its digits",
    " at the end",
    "1970-01-01{'T00",
    "{count} {unit} since",
    " and {len(stray)",
)
"""The beginnings of other texts in those modules: messages, parts, and texts of own columns."""

EXAMPLES = {
    "NEVER_CALCULATED": NEVER_CALCULATED,
    "why": "has lost its digits: a spreadsheet took the id for a number",
    "_kind(value)": "an object",
    "_left(left)": "1,000 submissions left",
    "_left(found.left)": "1 submission left",
    "outage_text(outage)": "the endpoint did not answer (since 2026-01-01 00:00:00 UTC, last: HTTP 502)",
    "unanswered": "the endpoint did not answer",
    "remedy": "Check the network and BATCHER_ENDPOINT, then run again to resume",
    "TIME_OVER": "time limit reached",
    "obstacle.value": Obstacle.CERTIFICATE.value,
    "WAITING": "waiting for the service",
    "' and '.join(said)": "answered HTTP 503 once and reported 1,000 times that calls are too frequent",
    "_times(n)": "1,000 times",
    "count(n, 'submission')": "1,000 submissions",
    "count(self.rows, 'row')": "1 row",
    "CountedBy.LINE.numbered(last)": "line 101",
    "exc": "is not JSON: extra data at character 101",
    "quoted": " (the service says: no)",
    "cut_off.reason": "time limit reached while a.csv was still being read (no row arrived)",
}
"""The values of expressions that are sentences themselves."""


def sentences(tree: ast.AST, skipped: set[str]) -> Iterator[tuple[str, str]]:
    """Every text with a blank in a piece of source, as written and with values filled in; no docstrings."""
    left_out: set[ast.AST] = set()
    for node in ast.walk(tree):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if name in skipped or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            left_out.update(ast.walk(node))
        elif isinstance(node, ast.JoinedStr):
            left_out.update(part for part in ast.walk(node) if part is not node)
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value, node.value
        elif isinstance(node, ast.JoinedStr):
            written, filled = _read(node)
            if " " in written.strip():
                yield written, filled


def _read(text: ast.JoinedStr) -> tuple[str, str]:
    written, filled = "", ""
    for number, part in enumerate(text.values, 101):
        if isinstance(part, ast.FormattedValue):
            source = ast.unparse(part.value)
            written += f"{{{source}}}"
            filled += EXAMPLES.get(source, str(number))
        else:
            assert isinstance(part, ast.Constant)
            written += str(part.value)
            filled += str(part.value)
    return written, filled


def in_calls(tree: ast.AST, names: set[str]) -> Iterator[tuple[str, str]]:
    """Every text that is handed to one of some functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
            for argument in node.args:
                yield from sentences(argument, set())


def row_sources() -> Iterator[tuple[str, str]]:
    """The reasons of invalid rows in the modules that make them."""
    for file in sorted((ROOT / "manifest").rglob("*.py")):
        text = file.read_text("utf-8")
        if MAKES_REASONS.search(text) or file.name in ALSO:
            for written, filled in sentences(ast.parse(text), NOT_IN_LEDGER):
                if not written.startswith(NOT_REASONS):
                    yield f"{file.name}: {written}", filled


def run_sources() -> Iterator[tuple[str, str]]:
    """The reasons with which runs end, where they are decided or where a run is told to stop."""
    ending = ast.parse((ROOT / "submit" / "ending.py").read_text("utf-8"))
    yield from ((f"ending.py: {written}", filled) for written, filled in sentences(ending, set()))
    stops = {"_halt", "halt", "_stop", "Stop", "_end_early", "end_early", "drain"}
    for package in ("submit", "flowcontrol", "api"):
        for file in sorted((ROOT / package).rglob("*.py")):
            found = in_calls(ast.parse(file.read_text("utf-8")), stops)
            yield from ((f"{file.name}: {written}", filled) for written, filled in found)
    for name, functions in {
        "exit_codes.py": {"defect"},
        "flowcontrol/findings.py": {"obstacle_text", "outage_text", "waiting_text"},
        "flowcontrol/outage_policy.py": {"halt_reason"},
        "flowcontrol/rate_policy.py": {"why_slow"},
        "submit/manifest_checks.py": {"reason"},
    }.items():
        for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in functions:
                for written, filled in sentences(node, set()):
                    yield f"{name}: {written}", filled


def is_translated(catalogue: Catalogue, sentence: str) -> bool:
    """Whether a sentence has a Chinese text with the same values."""
    said = catalogue.translated(sentence)
    values = re.findall(r"\b10[0-9]\b", sentence)
    return said is not None and re.search(r"[一-鿿]", said) is not None and all(map(said.count, values))


NOT_OF_RUNS = (
    "{count(",
    "{CHECK_ENDPOINT[0]",
    " and ",
    "reported {",
    "answered {",
    "the endpoint did not answer {",
)
"""Parts of other sentences, which are tested with them."""


@pytest.mark.parametrize(("written", "filled"), sorted(set(row_sources())))
def test_reason_of_an_invalid_row_has_a_chinese_text(written: str, filled: str) -> None:
    """A new reason needs one in ``row_reasons.py``."""
    assert is_translated(row_reasons.ROW_REASONS, filled), f"{written}: {filled!r} has no Chinese text"


@pytest.mark.parametrize(("written", "filled"), sorted(set(run_sources())))
def test_reason_of_an_ending_has_a_chinese_text(written: str, filled: str) -> None:
    """A new reason needs one in ``run_reasons.py``."""
    if not written.partition(": ")[2].startswith(NOT_OF_RUNS):
        assert is_translated(RUNS, filled), f"{written}: {filled!r} has no Chinese text"


def test_texts_that_runs_quote_have_a_chinese_text() -> None:
    """Obstacles, why turns are held back, signals, and the codes that halt."""
    said = [
        *(cause.value for cause in HoldCause if cause.value),
        *(
            f"no connection to the service: {one.value} (HTTP 407); {OBSTACLE_REMEDIES[one]}"
            for one in Obstacle
        ),
        f"the endpoint forbids the requests: HTTP 403; {CHECK_FIREWALL}",
        *(f"stopped by {code.name}; 1 submission left" for code in (ExitCode.SIGINT, ExitCode.SIGTERM)),
        "the service answered HTTP 503 1,000 times and reported once that calls are too frequent",
    ]
    assert [sentence for sentence in said if not is_translated(RUNS, sentence)] == []
    latin = re.compile("[a-z]{4,} [a-z]{2,}")
    assert [one for one in said if latin.search(RUNS.translated(one) or one)] == []


@pytest.mark.parametrize("code", [3, 5, 7, 100000005, 100000011, 100000017])
@pytest.mark.parametrize(("message", "request_id"), [("", None), ("no; not (at) all", "a-1")])
def test_code_that_halts_is_explained_in_chinese(code: int, message: str, request_id: str | None) -> None:
    """Meaning and remedy; the message of the service stays as it is."""
    reason = fault_of(Answer(code, message, request_id, None)) + "; affected: /a.mp4"
    said = RUNS.translated(reason)
    assert said is not None
    assert said.startswith(f"返回码 {code}：")
    assert said.endswith("；涉及：/a.mp4")
    rest = said.replace(message, "") if message else said
    assert re.search("[a-z]{3,} [a-z]{2,}", rest) is None


@pytest.mark.parametrize(
    "text", ["[1,", '{"a" 1}', '{"a": 1,}', "[1] 2", '"a', '["\\x"]', '["\\u12"]', "[1 2]", '["\t"]']
)
def test_what_the_decoder_of_json_says_has_a_chinese_text(text: str) -> None:
    """As Python words it."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    word = f"{caught.value.msg[:1].lower()}{caught.value.msg[1:]}".removesuffix(" at")
    assert row_reasons.ROW_REASONS.translated(word) is not None, word


@pytest.mark.parametrize("templates", [row_reasons.TEMPLATES, run_reasons.TEMPLATES])
def test_template_and_its_translation_have_the_same_fields(templates: Mapping[str, str]) -> None:
    """No value is lost, and none is invented."""

    def fields(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)

    assert [one for one, chinese in templates.items() if fields(one) != fields(chinese)] == []
    assert set(NESTED).isdisjoint(REQUIRED)


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        ("nan is a placeholder for a missing value, not a file id", "nan 是缺失值的占位符，不是文件 ID"),
        (
            "a is missing\nb holds an invisible character (U+200B)",
            "a is missing\nb 中含有不可见字符（U+200B）",
        ),
        ("{0} is not a whole number", "{0} 不是整数"),
        ("is an array, not a file id", "是数组，不是文件 ID"),
        (
            "its quotes do not match: text follows the closing quote on line 6 in the column room. Inside a "
            "quoted value a quote is written twice",
            "引号不匹配：第 6 行 room 列的结束引号之后还有文字。在带引号的值中，引号要写两次",
        ),
        ("a reason of an older version", None),
    ],
)
def test_reason_keeps_its_values(reason: str, chinese: str | None) -> None:
    """The words of a manifest are not translated; an unknown reason stays English."""
    assert row_reasons.ROW_REASONS.translated(reason) == chinese


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        ("stopped by SIGTERM", "收到 SIGTERM 后停止"),
        ("stopped at the limit of 10; 1,990 submissions left", "已达到数量上限 10；剩余 1,990 个提交项"),
        (
            "time limit reached while the endpoint did not answer (since 2026-01-01 00:00:00 UTC, last: HTTP "
            "502); 3 submissions left. Check the network and BATCHER_ENDPOINT, then run again to resume",
            "已到时间限制，当时服务端没有应答（自 UTC 2026-01-01 00:00:00 起，最后的情况：HTTP 502）；"
            "剩余 3 个提交项。请检查网络和 BATCHER_ENDPOINT，然后重新运行以继续",
        ),
        ("the disk is full while others have room", None),
    ],
)
def test_ending_is_in_chinese_with_all_its_parts(reason: str, chinese: str | None) -> None:
    """Foreign sentences that look alike stay as they are."""
    assert RUNS.translated(reason) == chinese
