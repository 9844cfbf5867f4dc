"""A figure as a command of its own: its options, the folder it works in, and its rows printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from bench.archive import Archive, archive
from bench.measuring import HEAD, CommandFailed, Effort, Row, Skipped

Figure = Callable[[Effort, Archive], Iterator[Row | Skipped]]

_ROOM_BYTES = 6e9
"""What the largest archives and ledgers take, with a copy of one."""


def show(figure: Figure) -> None:
    """Take one figure and print its rows."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_effort(parser)
    effort = effort_of(parser.parse_args())
    print(HEAD, flush=True)
    try:
        with archive(room_bytes(effort)) as made:
            for row in figure(effort, made):
                print(row, flush=True)
    except CommandFailed as exc:
        sys.exit(str(exc))


def room_bytes(effort: Effort) -> float:
    """How much room on disk is needed."""
    return _ROOM_BYTES * effort.scale + 5e8


def add_effort(parser: argparse.ArgumentParser) -> None:
    """The options that say how much is measured."""
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="how often each figure is taken")
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help="of the full sizes")


def effort_of(chosen: argparse.Namespace) -> Effort:
    """How much the command line asks for."""
    return Effort(chosen.repeat, chosen.scale)
