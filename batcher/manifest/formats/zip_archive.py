"""ZIP archives of manifests: they are named, and not unpacked.

Called by :mod:`batcher.manifest.reader` for a file that may be a workbook, since a workbook is a ZIP archive.
An archive can hold several files, and a name says nothing of which is meant.
"""

from __future__ import annotations

import zipfile
from typing import BinaryIO

from batcher.errors import ManifestError
from batcher.manifest.display import shown

_OF_DOCUMENTS = frozenset({"[Content_Types].xml", "mimetype"})
"""Members that only documents of office programs have."""
NAMED_MEMBERS = 3


def refuse_archive(name: str, file: BinaryIO) -> None:
    """Refuse an archive that is no document; leave the file at its beginning.

    Raises:
        ManifestError: names what is in it, and how to load that.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        members = []  # cut off or damaged: the reader of workbooks says so
    file.seek(0)
    if not members or _OF_DOCUMENTS & set(members):
        return
    listed = ", ".join(shown(member) for member in members[:NAMED_MEMBERS])
    more = f" and {len(members) - NAMED_MEMBERS:,} more" if len(members) > NAMED_MEMBERS else ""
    remedy = "Unpack it with unzip, and name the file in it" if len(members) == 1 else "Unpack it with unzip"
    raise ManifestError(f"{name}: this is a ZIP archive with {listed}{more} in it, not a workbook. {remedy}")
