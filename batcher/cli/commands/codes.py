"""``batcher codes``: return codes explained in English and Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from batcher.cli.command import Invocation, command
from batcher.report.formatting import paragraph, sentence, wrapped

if TYPE_CHECKING:
    from batcher.model.records import CodeExplanation

LABEL_COLUMNS = 9
"""For the longest label, and a blank."""

CHINESE_PIECE = re.compile(r"\s*(?:[!-~]+|[^!-~\s])[，。；：、）]*")
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

    from batcher.api.codes import documented_codes, explain_code_of_any_call

    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    with_chinese = _can_encode_chinese(sys.stdout.encoding)
    texts = []
    for code in documented_codes() if number is None else [number]:
        english, chinese = explain_code_of_any_call(code)
        lines = english_lines(english, width) + (chinese_lines(chinese, width) if with_chinese else [])
        texts.append("\n".join(lines))
    call.console.show(*"\n\n".join(texts).split("\n"))
    return 0


def english_lines(explained: CodeExplanation, width: int) -> list[str]:
    """The English explanation of a code, wrapped."""
    lines = [wrapped(f"code {explained.code}: {explained.meaning.text}", width, indent="  ")]
    for label, text in (
        ("only:", explained.call),
        ("batcher:", explained.handling),
        ("you:", explained.meaning.remedy),
    ):
        if text:
            whole = sentence(text[0].upper() + text[1:])
            lines.append(paragraph(label, whole, width=width, label_width=LABEL_COLUMNS))
    return lines


def chinese_lines(explained: CodeExplanation, width: int) -> list[str]:
    """The Chinese explanation of a code, wrapped."""
    return [
        paragraph(label, text + "。", width=width, label_width=LABEL_COLUMNS, pieces=CHINESE_PIECE)
        for label, text in (
            ("含义：", explained.meaning.text),
            ("仅见于：", explained.call),
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
