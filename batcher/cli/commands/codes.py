"""``batcher codes``: return codes explained in English and Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.report.formatting import columns, paragraph, sentence, wrapped

if TYPE_CHECKING:
    from batcher.api.codes import CodeExplanation

LABEL_COLUMNS = 9
"""For the longest label, and a blank."""

_PIECE = re.compile(r"\s*(?:[!-~]+|[^!-~\s])[，。；：、）]*")
"""A unit that is not split across lines: a Latin word or one other character, with the marks after it."""


@command("codes", options={})
def codes(
    call: Invocation,
    number: Annotated[int | None, typer.Argument(metavar="N", help="One code; all when left out.")] = None,
) -> int:
    """Explain return codes, in English and Chinese.

    Gives the meaning of a code, what batcher does about it, and what you do. A terminal that cannot show
    Chinese gets the English text only.

    Exit codes: 0.

    Example:  batcher codes 1000
    """
    import shutil
    import sys

    from batcher.api.codes import documented_codes, explain_code, explain_code_in_chinese

    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    with_chinese = _can_encode_chinese(sys.stdout.encoding)
    texts = []
    for code in documented_codes() if number is None else [number]:
        lines = english_lines(explain_code(code), width)
        lines += chinese_lines(explain_code_in_chinese(code), width) if with_chinese else []
        texts.append("\n".join(lines))
    call.console.show(*"\n\n".join(texts).split("\n"))
    return 0


def english_lines(explained: CodeExplanation, width: int) -> list[str]:
    """The English explanation of a code, wrapped."""
    lines = [wrapped(f"code {explained.code}: {explained.meaning.text}", width, indent="  ")]
    for label, text in (("batcher:", explained.handling), ("you:", explained.meaning.remedy)):
        if text:
            whole = sentence(text[0].upper() + text[1:])
            lines.append(paragraph(label, whole, width=width, label_width=LABEL_COLUMNS))
    return lines


def chinese_lines(explained: CodeExplanation, width: int) -> list[str]:
    """The Chinese explanation of a code, wrapped."""
    return [
        wide_paragraph(label, text + "。", width=width, label_columns=LABEL_COLUMNS)
        for label, text in (
            ("含义：", explained.meaning.text),
            ("程序：", explained.handling),
            ("您：", explained.meaning.remedy),
        )
        if text
    ]


def _can_encode_chinese(encoding: str | None) -> bool:
    try:
        "含义".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def wide_paragraph(label: str, text: str, *, width: int, label_columns: int, indent: int = 2) -> str:
    """A label and its text, wrapped so that the text stays in a column of its own.

    A Chinese character takes two columns. A line may end between two Chinese characters, but no line begins
    with a closing mark.
    """
    margin = indent + label_columns + 1
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and columns(lines[-1] + piece) > width - margin:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    head = " " * indent + label + " " * (label_columns + 1 - columns(label))
    return head + ("\n" + " " * margin).join(lines)
