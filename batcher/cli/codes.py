"""``batcher codes``: what a return code means, joined with what batcher does about it."""

from __future__ import annotations

import shutil

from batcher.disposition import kind_of
from batcher.report.words import paragraph, sentence
from batcher.zego.codes import MEANINGS, meaning


def explain(number: int | None) -> int:
    """Print one code, or all of them."""
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    for code in sorted(MEANINGS) if number is None else [number]:
        what = meaning(code)
        print(f"code {code}: {what.text}")  # noqa: T201 - data, on stdout
        for label, text in (("batcher", kind_of(code).value), ("you", what.remedy)):
            if text:
                line = paragraph(f"{label}:", sentence(text), width=width, label_width=9)
                print(line)  # noqa: T201 - data, on stdout
    return 0
