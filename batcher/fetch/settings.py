"""The settings of a fetch, and its counts.

Built by ``cli/commands/fetch.py`` and by library users; read by :mod:`batcher.fetch.fetcher`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from batcher.errors import SettingsError
from batcher.ledger.pictures import GIVEN_UP, KEPT
from batcher.model.submission import FileId
from batcher.model.task import PictureState


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """The settings of one fetch.

    Raises:
        SettingsError: some settings cannot be used; the message names every one of them.
    """

    folder: Path
    concurrency: int = 8
    """Downloads at the same time."""
    limit: int | None = None
    """The most pictures of this fetch; None sets no limit."""
    again: bool = False
    """Also request pictures that an earlier fetch gave up."""
    recordings: tuple[FileId, ...] = ()
    """Fetch the pictures of these recordings only; an empty tuple means all recordings."""
    check_all: bool = False
    """Check every file of earlier fetches, not only the share of the day."""
    checks: bool = True
    """Also look for missing files, and for pictures given up; False while another fetch does that."""
    not_under: str | None = None
    """A prefix of names in the folder that belong to the ledger, if the ledger is in the folder too."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {value}: give 1 or more"
            for name, value in (("concurrency", self.concurrency), ("limit", self.limit))
            if value is not None and value < 1
        ]
        if isinstance(self.recordings, str):  # its characters would count as ids
            problems.append("recordings: give a tuple of file ids, not one text")
        if problems:
            raise SettingsError(*problems)


@dataclass(slots=True)
class FetchFigures:
    """The counts of a fetch up to now."""

    by_state: Counter[PictureState] = field(default_factory=Counter)
    left: int = 0
    """Pictures that were requested, or whose server is silent, and are left for the next fetch."""
    in_place: int = 0
    """Pictures of earlier fetches that were not found missing."""
    n_bytes: int = 0
    """Bytes of the files that this fetch wrote."""
    more: bool = False
    """The limit was reached with pictures left."""
    silent: dict[str, str] = field(default_factory=dict)
    """Servers that gave no usable answer to any request, with the last failure of each."""

    @property
    def ended(self) -> int:
        """Pictures that this fetch has finished with."""
        return sum(self.by_state.values()) + self.left

    @property
    def kept(self) -> int:
        """Pictures that this fetch wrote to files."""
        return sum(self.by_state[state] for state in KEPT)

    @property
    def given_up(self) -> int:
        """Pictures that this fetch gave up."""
        return sum(self.by_state[state] for state in GIVEN_UP)
