"""``batcher codes``: what a return code means, joined with what batcher does about it, in two languages.

Between the tables of codes and stdout. Chinese characters take two columns each, which is heeded here; a
stdout that cannot carry them gets the English alone.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.flowcontrol.retry_policy import BUSY_TRIES, REFUSED_TRIES, UNKNOWN_TRIES, CodeKind, kind_of
from batcher.report.formatting import columns, paragraph, sentence, wrapped
from batcher.zego.codes import MEANINGS, meaning, meaning_in_chinese


@command("codes", options={})
def codes(
    _: Invocation,
    number: Annotated[int | None, typer.Argument(metavar="N", help="One code; all when left out.")] = None,
) -> int:
    """Say what a return code means and what batcher does about it, in English and in Chinese.

    Exit codes: 0.

    Example:  batcher codes 1000
    """
    return explain(number)


LABEL_COLUMNS = 9
"""For the longest label, and a blank."""

DOES_IN_CHINESE = {
    CodeKind.SUBMITTED: "记录任务 ID",
    CodeKind.REJECT: "将该提交记为 rejected，不再发送",
    CodeKind.HALT: "停止运行：之后的调用都会同样失败；该提交仍待发送",
    CodeKind.PERMISSION: (
        "本次运行尚无成功请求时停止；已有成功请求时，两个录制文件都收到才停止；只有一个收到时排在其他提交之后重发，"
        f"共尝试 {UNKNOWN_TRIES} 次；仍不成功则记为 rejected"
    ),
    CodeKind.SLOW_DOWN: f"放慢速度后重发；其他提交被接受而该提交被拒绝满 {REFUSED_TRIES} 次，则记为 failed",
    CodeKind.BUSY: f"重发，共尝试 {BUSY_TRIES} 次；仍不成功则记为 failed",
    CodeKind.UNKNOWN: f"重发，共尝试 {UNKNOWN_TRIES} 次；仍不成功则记为 rejected",
    CodeKind.CREDENTIALS: (
        "本次运行尚无成功请求时停止；已有成功请求时暂停，并用一次不会创建任务的调用确认："
        "鉴权有误则停止，频率过高则放慢；"
        f"同一提交再次收到：共尝试 {UNKNOWN_TRIES} 次，仍不成功则记为 rejected"
    ),
    CodeKind.CLOCK: "测出本机时钟的偏差后重发；仍不成功则停止",
}

_PIECE = re.compile(r"\s*(?:[!-~]+|[^!-~\s])[，。；：、）]*")
"""What is not torn apart: a word in Latin letters or one other character, and the marks that follow it."""


def explain(number: int | None) -> int:
    """Print one code, or all of them."""
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    with_chinese = _carries_chinese(sys.stdout.encoding)
    for at, code in enumerate(sorted(MEANINGS) if number is None else [number]):
        heading = wrapped(f"code {code}: {meaning(code).text}", width, indent="  ")
        lines = [heading, *_english(code, width)]
        lines += _chinese(code, width) if with_chinese else []
        print("\n".join([""] * bool(at) + lines))  # noqa: T201 - data, on stdout
    return 0


def _english(code: int, width: int) -> Iterator[str]:
    for label, text in (("batcher:", kind_of(code).value), ("you:", meaning(code).remedy)):
        if text:
            said = sentence(text[0].upper() + text[1:])
            yield paragraph(label, said, width=width, label_width=LABEL_COLUMNS)


def _chinese(code: int, width: int) -> Iterator[str]:
    what = meaning_in_chinese(code)
    for label, text in (
        ("含义：", what.text),
        ("程序：", DOES_IN_CHINESE[kind_of(code)]),
        ("您：", what.remedy),
    ):
        if text:
            yield wide_paragraph(label, text + "。", width=width, label_columns=LABEL_COLUMNS)


def _carries_chinese(encoding: str | None) -> bool:
    try:
        "含义".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def wide_paragraph(label: str, text: str, *, width: int, label_columns: int, indent: int = 2) -> str:
    """A label and its text, wrapped so that the text stands in a column of its own.

    Between two Chinese characters a line may end anywhere, but none begins with a mark that closes.
    """
    margin = indent + label_columns + 1
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and columns(lines[-1] + piece) > width - margin:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    head = " " * indent + label + " " * (label_columns + 1 - columns(label))
    return head + ("\n" + " " * margin).join(lines)
