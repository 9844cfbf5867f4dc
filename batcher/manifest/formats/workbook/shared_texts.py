"""The table of shared texts of an Excel workbook: most cells of text hold a number of it."""

from __future__ import annotations

from batcher.manifest.formats.workbook.cells import unescaped
from batcher.manifest.formats.workbook.package import Attributes, Package, XmlStream, local, translated

LARGEST_TEXTS = 1 << 29
"""The memory for shared texts: a million rows of five different texts each stay below."""
TEXT_OVERHEAD = 64
"""The bytes that a text takes besides its characters, about."""


def shared_texts(package: Package, part: str | None) -> list[str]:
    """Return the shared texts in their order; a workbook may have none.

    Raises:
        ManifestError: they are damaged, or take more memory than a real workbook.
    """
    reader = _TextReader()
    if part is None:
        return reader.texts
    xml = XmlStream(reader.start, reader.end, reader.text)
    for block in package.blocks(part):
        with translated(package.name):
            xml.feed(block)
        if reader.size > LARGEST_TEXTS:
            raise package.oversized(part, LARGEST_TEXTS)
    return reader.texts


class _TextReader:
    """Joins the pieces of each text, however they are formatted.

    The readings that Chinese and Japanese versions keep beside a text are not part of it.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.size = 0
        self._pieces: list[str] = []
        self._collecting = self._reading = False

    def start(self, tag: str, _: Attributes) -> None:
        name = local(tag)
        if name == "t":
            self._collecting = not self._reading
        elif name == "rPh":
            self._reading = True

    def end(self, tag: str) -> None:
        name = local(tag)
        if name == "t":
            self._collecting = False
        elif name == "rPh":
            self._reading = False
        elif name == "si":
            self.texts.append(unescaped("".join(self._pieces)))
            self.size += TEXT_OVERHEAD
            self._pieces.clear()

    def text(self, data: str) -> None:
        if self._collecting:
            self._pieces.append(data)
            self.size += len(data)
