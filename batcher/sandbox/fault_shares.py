"""Shares of faults: reading and checking how many requests or callbacks get each fault. Pure.

`settings` checks shares here, every draw is made here, and the command line reads `--fault` with
`parse_faults`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from random import Random
from typing import TypeVar

from .faults import CallbackFault, Fault

_T = TypeVar("_T")

CALLBACK = "callback"
PLACES = ("MediaThumbnails", "SearchMedia", "DescribeMediaTask", CALLBACK)
"""The places for which shares of faults can be given."""


def parse_faults(texts: Iterable[str]) -> dict[str, dict[str, float]]:
    """Read shares such as `drop-after=0.03`, `DescribeMediaTask/http:503=0.1` or `callback/lost=0.2`.

    Returns:
        Shares by fault, by the place before the slash; without a slash it is MediaThumbnails.

    Raises:
        ValueError: a text is not [PLACE/]FAULT=SHARE, or the shares of one place add up to more than 1.
    """
    places: dict[str, list[str]] = {}
    for text in texts:
        place, slash, share = text.rpartition("/")
        if slash and place not in PLACES:
            raise ValueError(f"share {text!r}: give one of these before the slash: {', '.join(PLACES)}.")
        places.setdefault(place or PLACES[0], []).append(share)
    return {
        place: parse_shares(shares, CallbackFault if place == CALLBACK else None)
        for place, shares in places.items()
    }


def parse_shares(texts: Iterable[str], words: type[StrEnum] | None = None) -> dict[str, float]:
    """Read shares such as `drop-after=0.03`; the result is the value of `SandboxSettings.shares`.

    Args:
        texts: the shares.
        words: the kinds of faults, if they are not faults of an answer.

    Raises:
        ValueError: a text is not FAULT=SHARE, or the shares are not between 0 and 1 in sum.
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
    """Check shares.

    Raises:
        ValueError: they are not between 0 and 1, each and in sum.
    """
    # A sum such as 0.1 + 0.2 + 0.7 may round to slightly more than 1.
    if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError("shares of faults: give 0 to 1 for each, and at most 1 in sum.")


def checked_shares(shares: Mapping[str, float]) -> list[tuple[Fault, float]]:
    """Return shares by text as shares by fault, in the order given.

    Raises:
        ValueError: a text is not a fault, or the shares are not between 0 and 1, each and in sum.
    """
    pairs = [(Fault.parse(text), share) for text, share in shares.items()]
    checked_sum(shares.values())
    return pairs


def drawn(rng: Random, shares: Mapping[_T, float]) -> _T | None:
    """Draw one of several by its share, or none of them; without any share nothing is drawn."""
    if not any(shares.values()):
        return None
    draw = rng.random()
    for one, share in shares.items():
        draw -= share
        if draw < 0:
            return one
    return None
