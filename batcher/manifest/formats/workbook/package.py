"""The parts of an Office Open XML file: a ZIP archive of XML files that name each other by relationships.

Parts are read as streams of bounded blocks, with their checksums. Errors of the archive and of XML are
translated here and nowhere else. Document types are refused, so no entity can multiply a text. The meaning of
the parts is up to the modules for workbooks and sheets.
"""

from __future__ import annotations

import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from batcher.errors import ManifestError
from batcher.manifest.display import shown
from batcher.manifest.sources.local import Unread

PART_BLOCK_BYTES = 1 << 16
"""The unpacked bytes of one read."""
LARGEST_INDEX = 1 << 26
"""The unpacked bytes of a part that lists others, or styles. Real ones have some thousands."""
LARGEST_HELD = 1 << 30
"""The unpacked bytes of a whole workbook that is not streamed."""
LONGEST_TAG = 1 << 22
"""The bytes of the longest tag; the parser holds a tag whole."""
_LOCKED = 0x1
"""The bit of a part in the archive that has a password."""

Attributes = dict[str, str]


class Relation(NamedTuple):
    """A part that another part names."""

    id: str
    kind: str
    """The last word of its type, the same in both versions of the standard: ``worksheet``."""
    part: str


class Package:
    """The parts of a file, by name."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        """Read the list of parts.

        Raises:
            ManifestError: it is not a whole ZIP archive.
        """
        self.name = name
        with translated(name):
            self._archive = zipfile.ZipFile(file)
        listed = self._archive.infolist()
        self.listed = [info.filename for info in listed]
        self._parts = {_canonical(info.filename): info for info in listed}

    def __contains__(self, part: str) -> bool:
        return _canonical(part) in self._parts

    def blocks(self, part: str) -> Iterator[bytes]:
        """Yield a part's bytes; nothing when there is no such part.

        Raises:
            ManifestError: it is damaged or locked with a password.
        """
        info = self._parts.get(_canonical(part))
        if info is None:
            return
        if info.flag_bits & _LOCKED:
            raise ManifestError(f"{self.name}: the archive has a password. Save the workbook without one")
        with translated(self.name), self._archive.open(info) as file:
            while block := file.read(PART_BLOCK_BYTES):
                yield block

    def elements(self, part: str) -> Iterator[tuple[str, Attributes]]:
        """Yield the start of each element of a small part: its name and attributes, without prefixes.

        Raises:
            ManifestError: it is damaged, or too large for what it is.
        """
        found: list[tuple[str, Attributes]] = []

        def start(tag: str, attributes: Attributes) -> None:
            found.append((local(tag), {local(name): value for name, value in attributes.items()}))

        xml, size = XmlStream(start), 0
        for block in self.blocks(part):
            size += len(block)
            if size > LARGEST_INDEX:
                raise self.oversized(part, LARGEST_INDEX)
            with translated(self.name):
                xml.feed(block)
            yield from found
            found.clear()
        if size:
            with translated(self.name):
                xml.close()

    def check_xml(self, part: str) -> None:
        """Check that a part is whole XML, for a package that does not end with one that is not.

        Raises:
            ManifestError: it is not.
        """
        xml = XmlStream()
        for block in self.blocks(part):
            with translated(self.name):
                xml.feed(block)
        with translated(self.name):
            xml.close()

    def related(self, part: str) -> list[Relation]:
        """Return the parts that a part names; the empty name is the package itself.

        Raises:
            ManifestError: the list is damaged.
        """
        folder, file = posixpath.split(part)
        return [
            Relation(
                attributes.get("Id", ""),
                attributes.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/" + folder, attributes.get("Target", ""))).lstrip("/"),
            )
            for tag, attributes in self.elements(posixpath.join(folder, "_rels", f"{file}.rels"))
            if tag == "Relationship" and attributes.get("TargetMode") != "External"
        ]

    def check_held(self) -> None:
        """Check that all parts together can be held, for a package that unpacks them itself.

        Sizes are those that the archive lists, and its checksums show that they are true.

        Raises:
            ManifestError: they unpack to too much, or are damaged.
        """
        listed = sum(info.file_size for info in self._archive.infolist())
        if listed > LARGEST_HELD:
            raise ManifestError(
                f"{self.name}: its parts unpack to {listed:,} bytes, and more than {LARGEST_HELD >> 20} MiB "
                "are not held in memory. Export the sheet as CSV"
            )
        for info in self._archive.infolist():
            for _ in self.blocks(info.filename):
                pass

    def oversized(self, part: str, limit: int) -> ManifestError:
        """Return the error for a part that is larger than any real one."""
        return ManifestError(
            f"{self.name}: its part {shown(part)} unpacks to more than {limit >> 20} MiB, and that much is "
            "not held in memory. Export the sheet as CSV"
        )


def _canonical(part: str) -> str:
    """Return a part's name as it is compared: some programs write backslashes, or other letter cases."""
    return part.replace("\\", "/").lstrip("/").lower()


def local(tag: str) -> str:
    """Return a name without its prefix."""
    return tag.rpartition(":")[2]


class XmlStream:
    """XML parsed block by block; calls functions for tags and texts."""

    def __init__(
        self,
        start: Callable[[str, Attributes], None] | None = None,
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = text
        self._fed = 0

    def feed(self, block: bytes) -> None:
        """Parse a block.

        Raises:
            ExpatError: it is not XML.
            ValueError: a tag has no end, or there is a document type.
        """
        self._parser.Parse(block, False)
        self._fed += len(block)
        if self._fed - self._parser.CurrentByteIndex > LONGEST_TAG:
            raise ValueError(f"a tag of more than {LONGEST_TAG >> 20} MiB")

    def close(self) -> None:
        """Check that the XML is complete.

        Raises:
            ExpatError: it is not.
        """
        self._parser.Parse(b"", True)


def _refuse_doctype(*_: object) -> None:
    raise ValueError("it declares a document type")


def damaged(where: str, reason: str) -> ManifestError:
    """Return the error for a workbook that is not whole."""
    return ManifestError(
        f"{where}: the workbook is cut off or damaged ({shown(reason)}). Save or fetch it again"
    )


@contextmanager
def translated(where: str, place: Callable[[], str] | None = None) -> Iterator[None]:
    """Translate errors of the archive and of XML into errors of the manifest.

    Args:
        where: the manifest, or the sheet.
        place: returns the place more exactly, where it changes.
    """
    try:
        yield
    except Unread as exc:
        raise exc.at(place() if place else where) from exc
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, struct.error, EOFError, OSError) as exc:
        raise damaged(place() if place else where, str(exc)) from exc
    except (NotImplementedError, ValueError, OverflowError, LookupError) as exc:
        raise ManifestError(
            f"{place() if place else where}: this is not a workbook that can be read ({shown(str(exc))}). "
            "Save it as .xlsx with a spreadsheet, or export the sheet as CSV"
        ) from exc
