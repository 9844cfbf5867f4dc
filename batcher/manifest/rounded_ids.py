"""Detection of Tencent ids that a program rounded because it took them for numbers.

Called before a load with the first rows of a manifest; the caller decides what to do with the verdict. Pure.

Rounded ids look like good ones and name other recordings, or no recording. A spreadsheet keeps 15 of 19
digits and appends zeros; a 64-bit float turns an id above 10^18 into a multiple of
128 or 256; JavaScript prints such a float with two zeros at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import islice

from batcher.manifest.display import shown
from batcher.model.submission import CountedBy, InvalidRow, Row, Vendor

HEAD_ROWS = 10_000
"""The number of rows that are judged."""
ENOUGH_IDS = 20
"""A manifest with fewer ids than this is never refused."""
REFUSED_SHARE = 0.01
"""More than this share ending in ``0000``, where chance gives 0.0001, refuses a manifest.

Honest random ids are refused with a probability of 0.2 % at 20 ids and 1 % at 99 (one such id
is enough there), 0.005 % at 100 (it takes two), 2 in a million at 300, and practically never above.
"""
_EVIDENCE = 16.0
"""The evidence that a weaker sign needs, in nats.

``n`` ids of which a share ``s`` shows a sign of probability ``p`` carry ``n * KL(s, p)`` nats; by
Chernoff's bound honest ids reach 16 with a probability below e^-16, one in nine million, for each
of the three signs and any ``n``. Four ids that all end in ``00`` reach it.
"""
_EXACT = 2**53
"""Numbers up to here are never rounded."""


class Verdict(StrEnum):
    """The judgement of a manifest's ids."""

    REFUSE = "refuse"
    """Rounded: the manifest must not be sent unless the user gives ``--trust-ids``."""
    WARN = "warn"
    """Perhaps rounded."""
    FINE = "fine"
    """No sign of rounding."""


@dataclass(frozen=True, slots=True)
class RoundedIds:
    """The verdict and its reason."""

    verdict: Verdict
    message: str = ""
    """The sign and what to do; empty when there is none."""
    ids: int = 0
    """The number of Tencent ids that were judged."""


@dataclass(frozen=True, slots=True)
class _Sign:
    what: str
    probability: float
    """The probability that an honest id shows it by chance."""
    count: int


def rounded_ids(rows: Sequence[Row | InvalidRow], counted_by: CountedBy = CountedBy.LINE) -> RoundedIds:
    """Judge the Tencent ids among the first ``HEAD_ROWS`` rows."""
    tencent = [
        row
        for row in islice(rows, HEAD_ROWS)
        if isinstance(row, Row) and row.parameters.vendor is Vendor.TENCENT
    ]
    ids = [row.file_id for row in tencent]
    zeros = [row for row in tencent if row.file_id.endswith("0000")]
    if len(ids) >= ENOUGH_IDS and len(zeros) > REFUSED_SHARE * len(ids):
        seen = f"{_of(len(zeros), len(ids))} end in 0000"
        first = f"first on {counted_by.numbered(zeros[0].line)}: {shown(zeros[0].file_id)}"
        return RoundedIds(Verdict.REFUSE, f"{seen} ({first}); {_CAUSE}", len(ids))
    long = [int(text) for text in ids if len(text) < 40 and int(text) > _EXACT]
    signs = (
        _Sign("end in 0000", 1e-4, len(zeros)),
        _Sign("end in 00", 1e-2, sum(number % 100 == 0 for number in long)),
        _Sign("are multiples of 256", 1 / 256, sum(number % 256 == 0 for number in long)),
    )
    seen_signs = [sign for sign in signs if _surprise(sign, len(ids)) > _EVIDENCE]
    if not seen_signs and zeros and len(ids) < ENOUGH_IDS:
        seen_signs = [signs[0]]
    if not seen_signs:
        return RoundedIds(Verdict.FINE, "", len(ids))
    strongest = max(seen_signs, key=lambda sign: _surprise(sign, len(ids)))
    return RoundedIds(Verdict.WARN, f"{_of(strongest.count, len(ids))} {strongest.what}; {_CAUSE}", len(ids))


_CAUSE = (
    "a spreadsheet or another program may have rounded them, and rounded ids name other recordings. "
    "Compare some with the original; if they are right, use --trust-ids, else export the column as text"
)


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,} Tencent ids"


def _surprise(sign: _Sign, total: int) -> float:
    """Nats of evidence against honest ids; 0 when the sign is no more frequent than chance."""
    if not total or sign.count <= sign.probability * total:
        return 0.0
    share, chance = sign.count / total, sign.probability
    rest = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return total * (share * math.log(share / chance) + rest)


def as_rounded(file_id: str) -> frozenset[str]:
    """Return the ids that programs make of an id by taking it for a number; without the id itself.

    A spreadsheet keeps 15 digits, cut off or rounded, and appends zeros; a 64-bit float keeps the nearest
    number it can hold, written in full or by its shortest digits with zeros appended.
    """
    if not (file_id.isascii() and file_id.isdecimal()) or len(file_id) > _LONGEST_DIGITS:
        return frozenset()
    number = int(file_id)
    return frozenset(str(rounded) for rounded in _roundings(number) if rounded != number)


def may_be_rounded(digits: str) -> bool:
    """Whether a program that takes ids for numbers could have made this one of another."""
    number = int(digits)
    return number > _EXACT and (number % 100 == 0 or number in _roundings(number))


def _roundings(number: int) -> set[int]:
    """Return what programs make of a number."""
    zeros = 10 ** max(len(str(number)) - _SPREADSHEET_DIGITS, 0)
    return {
        number // zeros * zeros,
        (number + zeros // 2) // zeros * zeros,
        int(float(number)),
        int(Decimal(repr(float(number)))),
    }


_SPREADSHEET_DIGITS = 15
_LONGEST_DIGITS = 40
