"""Translation of sentences that the ledger holds in English: reasons of invalid rows, and why runs ended.

A catalogue maps English templates to Chinese ones with the same fields. The ledger holds the finished
sentence, so a template is recognized by its fixed words. Each field keeps its value, as a cell of a manifest
must, except those in :data:`NESTED` and :data:`REQUIRED`, which are sentences of the catalogue too. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter

NESTED = frozenset({"why", "what", "where", "then"})
"""Fields that are translated where they can be."""
REQUIRED = frozenset({"part", "rest"})
"""Fields that must be translated: without that, the template is not that of the sentence."""
_NUMBERS = frozenset({"n", "m"})
"""Fields that are numbers."""


class Catalogue:
    """Sentences in English with their translations.

    Args:
        templates: English templates with their translations. The one with the most fixed characters counts.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        by_size = sorted(templates.items(), key=lambda pair: -len("".join(_fixed(pair[0]))))
        self._patterns = [(_pattern(english), translated) for english, translated in by_size]

    def translated(self, sentence: str) -> str | None:
        """Return a sentence in the other language; None if no template is its own."""
        for pattern, translation in self._patterns:
            if (found := pattern.fullmatch(sentence)) and (values := self._values(found.groupdict())):
                return translation.format(**values)
        return None

    def _values(self, found: dict[str, str]) -> dict[str, str] | None:
        """Return the values as the translation holds them; None if one that is required is not known."""
        values = {"": "", **found}
        for name, value in found.items():
            if name in NESTED or name in REQUIRED:
                translated = self.translated(value)
                if translated is None and name in REQUIRED:
                    return None
                values[name] = value if translated is None else translated
        return values


def _fixed(template: str) -> Iterator[str]:
    """Yield the fixed parts of a template."""
    return (text for text, _, _, _ in Formatter().parse(template))


def _pattern(template: str) -> re.Pattern[str]:
    parts = []
    for text, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(text))
        if name:
            parts.append(f"(?P<{name}>{r'[0-9,]+' if name in _NUMBERS else '.*?'})")
    return re.compile("".join(parts), re.DOTALL)
