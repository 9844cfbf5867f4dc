"""Detection of Huawei ids in a form that the service does not take: percent-encoded, with backslashes, or
with the spaces of web pages.

Called before a load with the first rows of a manifest, as :mod:`batcher.manifest.rounded_ids` is for Tencent
ids; the caller decides what to do with the verdict. Pure.

Such ids are legal keys, so that a single one may be right. A manifest of them comes from a list of URLs or
of paths of Windows, or was copied from a web page. The spaces that keyboards and file names of other scripts
have (U+3000, and U+202F before AM and PM) are no sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from batcher.manifest.display import shown
from batcher.manifest.rounded_ids import ENOUGH_IDS, REFUSED_SHARE, Verdict
from batcher.model.submission import CountedBy, FileId, InvalidRow, Row, Vendor

_SIGNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool], str], ...] = (
    ("percent-encoded", re.compile("%[0-9A-Fa-f]{2}"), lambda _: True, "decode them"),
    (
        "written with backslashes",
        re.compile(r"\\"),
        lambda file_id: "/" not in file_id,
        "write them with /",
    ),
    (
        "written with no-break or other unusual spaces",
        re.compile("[\u00a0\u1680\u2000-\u200a\u205f]"),
        lambda _: True,
        "write them with plain spaces",
    ),
)
"""Each sign: its name, where it is found, whether it is certain among a few ids, and the remedy."""


def huawei_rows(rows: Iterable[Row | InvalidRow]) -> list[Row]:
    """Return the rows with a Huawei id."""
    return [row for row in rows if isinstance(row, Row) and row.parameters.vendor is Vendor.HUAWEI]


def encoded_keys(rows: Sequence[Row], counted_by: CountedBy) -> tuple[Verdict, str]:
    """Judge the first Huawei ids of a manifest; return the verdict and its reason."""
    for what, pattern, certain, remedy in _SIGNS:
        found = [row for row in rows if pattern.search(row.file_id)]
        if not found:
            continue
        message = (
            f"{len(found):,} of {len(rows):,} Huawei ids are {what} (first on "
            f"{counted_by.numbered(found[0].line)}: {shown(found[0].file_id)}), and the service takes "
            f"keys as they are: {remedy}. If the objects are really named so, use --trust-ids"
        )
        decisive = found if len(rows) >= ENOUGH_IDS else [row for row in found if certain(row.file_id)]
        refused = len(decisive) > REFUSED_SHARE * len(rows)
        return (Verdict.REFUSE if refused else Verdict.WARN), message
    return Verdict.FINE, ""


def odd_keys(rows: Sequence[Row], counted_by: CountedBy) -> list[str]:
    """Return warnings about Huawei ids that are legal and probably a mistake."""
    signs = (
        ("are digits only, as Tencent's are; check the vendor", str.isdecimal),
        ("end in /, as folders do", lambda file_id: file_id.endswith("/")),
    )
    warnings = []
    for what, has_sign in signs:
        if found := [row for row in rows if has_sign(row.file_id)]:
            first = f"first on {counted_by.numbered(found[0].line)}: {shown(found[0].file_id)}"
            warnings.append(f"{len(found):,} of {len(rows):,} Huawei ids {what} ({first})")
    return warnings


def slash_twin(file_id: str) -> FileId:
    """Return the key with a leading slash where it has none, and without where it has one."""
    return FileId(file_id[1:] if file_id.startswith("/") else f"/{file_id}")


def slash_warning(rows: Sequence[Row], known: Collection[FileId], counted_by: CountedBy, where: str) -> str:
    """Return the warning about keys that exist with and without a leading slash; empty when there are none.

    Args:
        rows: the first Huawei rows of a manifest.
        known: the other keys.
        counted_by: the unit that numbers its rows.
        where: the place of the other keys.
    """
    found = [row for row in rows if slash_twin(row.file_id) in known]
    if not found:
        return ""
    first = found[0]
    pair = f"{shown(first.file_id)} and {shown(slash_twin(first.file_id))}"
    return (
        f"{len(found):,} of {len(rows):,} Huawei ids are {where} with and without a leading / (first on "
        f"{counted_by.numbered(first.line)}: {pair}): "
        "they are two recordings to the service, and one of them may not exist"
    )
