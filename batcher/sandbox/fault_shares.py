"""Shares of faults: how many of the requests, or of the callbacks, meet each fault. Reading and checking.
Pure.

`settings` checks shares here, `fault_plan` draws by them, and the command line reads `--fault` with
`parse_faults`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from .faults import CallbackFault, Fault

CALLBACK = "callback"
PLACES = ("MediaThumbnails", "SearchMedia", "DescribeMediaTask", CALLBACK)
"""Where faults can be asked for by their share."""


def parse_faults(texts: Iterable[str]) -> dict[str, dict[str, float]]:
    """Read shares such as `drop-after=0.03`, `DescribeMediaTask/http:503=0.1` or `callback/lost=0.2`.

    Returns:
        Shares by fault, by what stands before the slash; without one it is MediaThumbnails.

    Raises:
        ValueError: a text is not [WHERE/]FAULT=SHARE, or the shares of one place are above 1 together.
    """
    places: dict[str, list[str]] = {}
    for text in texts:
        place, slash, share = text.rpartition("/")
        if slash and place not in PLACES:
            raise ValueError(f"share {text!r}: before the slash stands one of {', '.join(PLACES)}.")
        places.setdefault(place or PLACES[0], []).append(share)
    return {
        place: parse_shares(shares, CallbackFault if place == CALLBACK else None)
        for place, shares in places.items()
    }


def parse_shares(texts: Iterable[str], words: type[StrEnum] | None = None) -> dict[str, float]:
    """Read shares such as `drop-after=0.03`; the result is what `SandboxSettings.shares` takes.

    Args:
        texts: to read.
        words: the kinds there are, where they are not those of an answer.

    Raises:
        ValueError: a text is not FAULT=SHARE, or the shares are not between 0 and 1 together.
    """
    shares: dict[str, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or not 0 <= value <= 1:
            raise ValueError(f"share {text!r}: write FAULT=SHARE with a SHARE from 0 to 1, e.g. hang=0.03.")
        fault = _known(name, words) if words else str(Fault.parse(name))
        if fault in shares:
            raise ValueError(f"share {text!r}: {fault} is given twice. Give each fault one share.")
        shares[fault] = value
    checked_sum(shares.values())
    return shares


def _known(name: str, words: type[StrEnum]) -> str:
    if name not in tuple(words):
        raise ValueError(f"fault {name!r}: no such kind. The kinds are {', '.join(words)}.")
    return name


def checked_sum(shares: Collection[float]) -> None:
    """Hold shares against what they can be.

    Raises:
        ValueError: they are not between 0 and 1, each and together.
    """
    # A little above 1 is the rounding of a sum such as 0.1 + 0.2 + 0.7.
    if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError("shares of faults: each is from 0 to 1, and together they are at most 1.")


def checked_shares(shares: Mapping[str, float]) -> list[tuple[Fault, float]]:
    """Turn shares by text into shares by fault, in the order given.

    Raises:
        ValueError: a text names no fault, or the shares are not between 0 and 1, each and together.
    """
    pairs = [(Fault.parse(text), share) for text, share in shares.items()]
    checked_sum(shares.values())
    return pairs
