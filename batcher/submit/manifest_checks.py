"""Checks of manifests before anything of them is sent: ids, and what was bought before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from batcher.errors import ManifestError
from batcher.manifest import (
    HEAD_ROWS,
    Manifest,
    Mark,
    Verdict,
    digest_of,
    expand,
    is_url,
    redacted,
    rounded_ids,
    stable_url,
)
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.threads import in_thread
from batcher.model.records import AskedFor
from batcher.model.submission import FileId, InvalidRow, Parameters, Row
from batcher.report.asked import asked_for, asked_words
from batcher.report.formatting import count

RESUBMITTED_SHARE = 0.1
"""More of a manifest's recordings than this under other parameters look like a changed default."""


class Prepared:
    """A manifest that has passed the checks made before anything of it is kept; loading closes it.

    Attributes:
        manifest: opened; closed again after :meth:`let_go`.
        path: by which it is known the next time: the absolute path of a file, a URL; ``-`` for a stream.
        warnings: what a person should hear of it.
        digest: what its bytes come to, and how they are read: where that is what it was, so are the rows.
            None for what is no file, and for one that was written to since it was opened. Blocks.
    """

    def __init__(
        self,
        manifest: Manifest,
        path: str,
        head: list[Row | InvalidRow],
        warnings: list[str],
        again: Callable[[], Manifest],
        digest: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.manifest = manifest
        self.path = path
        self.warnings = warnings
        self.digest = digest
        self._head: list[Row | InvalidRow] | None = head
        self._again = again

    def let_go(self) -> None:
        """Close a file until it is loaded: of a thousand manifests none must be held for its turn."""
        if self.manifest.again:
            self.manifest.close()
            self._head = None

    def first_rows(self) -> list[Row | InvalidRow]:
        """Its first rows, read already, or again."""
        if self._head is not None:
            return self._head
        with self._again() as manifest:
            return list(islice(manifest, HEAD_ROWS))

    @property
    def in_hand(self) -> list[Row | InvalidRow]:
        """Rows that were taken out of a stream and are nowhere else; none of a file, which stays."""
        return [] if self.manifest.again else self._head or []

    def rows(self) -> Iterator[Row | InvalidRow]:
        """All rows, once."""
        if self._head is None:
            self.manifest, self._head = self._again(), []
        head, self._head = self._head, []
        return chain(head, self.manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.manifest.close()


@dataclass(frozen=True, slots=True)
class CutOff:
    """Manifests that had not all come when the time for that was over."""

    sources: tuple[str, ...]
    """Every one of the run: none is loaded to its end."""
    waited_for: str
    rows: int
    """How many of this one came."""

    @property
    def reason(self) -> str:
        """What happened, in words."""
        name = "stdin" if self.waited_for == "-" else self.waited_for
        came = f"{count(self.rows, 'row')} came, loaded now" if self.rows else "nothing of it came"
        return f"its time was over while {name} was still being read ({came})"


class Preparation:
    """Manifests on their way through the checks that are made before anything of them is kept.

    They take as long as they take to come. Whoever cannot wait any longer takes what has come so far.

    Args:
        sources: names and patterns.
        how: they are read.
    """

    def __init__(self, sources: Sequence[str], how: ReadOptions) -> None:
        self._how = how
        self._sources = sources
        self._names: list[str] = []
        self._prepared: list[Prepared] = []
        self._coming: tuple[Manifest, list[Row | InvalidRow]] | None = None
        self._changing = threading.Lock()
        self._given_up = False
        self._marks: dict[str, Mark | None] = {}

    def all(self) -> list[Prepared]:
        """Prepare what sources and patterns stand for, in their order, each file once. Blocks.

        Raises:
            ManifestError: a pattern stands for nothing, or one manifest cannot be used; nothing is kept.
        """
        self._names = expand(self._sources)
        try:
            for name in self._names:
                if not self._given_up:
                    self._prepare(name)
        except BaseException:
            for one in self._prepared:
                one.manifest.close()
            raise
        return self._prepared

    def so_far(self) -> tuple[list[Prepared], CutOff]:
        """What has come, while another thread still waits for the rest; nothing more of it is taken.

        Raises:
            ManifestError: by what came of it, a manifest cannot be used.
        """
        with self._changing:
            self._given_up = True
            prepared, coming = [*self._prepared], self._coming
        names = [redacted(name) for name in self._names or self._sources]
        waited_for = names[min(len(prepared), len(names) - 1)]
        rows = 0
        if coming is not None:
            manifest, head = coming[0], [*coming[1]]
            rows = len(head)
            prepared.append(self._judged(self._names[len(prepared)], manifest, head))
        return prepared, CutOff(tuple(names), waited_for, rows)

    def _prepare(self, name: str) -> None:
        """Open a manifest, check all its bytes if it is a file, and judge its first rows."""
        path = _stable_url(name)
        self._marks[path] = Mark.of(path)
        manifest = self._how.open(name)
        try:
            manifest.check()
            head = list[Row | InvalidRow]()
            self._coming = manifest, head
            for row in islice(manifest, HEAD_ROWS):
                if self._given_up:
                    return
                head.append(row)
            prepared = self._judged(name, manifest, head)
        except BaseException:
            manifest.close()
            raise
        with self._changing:
            self._prepared.append(prepared)
            self._coming = None
        if len(self._names) > 1:
            prepared.let_go()

    def _judged(self, name: str, manifest: Manifest, head: list[Row | InvalidRow]) -> Prepared:
        warnings = (
            manifest.warnings if self._how.trust_ids else [*manifest.warnings, *_judge_ids(manifest, head)]
        )
        path = _stable_url(name)
        return Prepared(
            manifest, path, head, warnings, lambda: self._how.open(name), partial(self._digest, name, path)
        )

    def _digest(self, name: str, path: str) -> str | None:
        mark = self._marks.get(path)
        if path == "-" or mark is None or mark != Mark.of(path):
            return None
        digest = digest_of(path, repr(self._how))
        # A link may lead elsewhere since, and by its name the rows were read.
        return digest if mark == Mark.of(path) and path == _stable_url(name) else None


def prepare_all(sources: Sequence[str], how: ReadOptions) -> list[Prepared]:
    """Prepare what sources and patterns stand for, in their order, each file once.

    Raises:
        ManifestError: a pattern stands for nothing, or one manifest cannot be used; nothing of any is kept.
    """
    return Preparation(sources, how).all()


def _stable_url(source: str) -> str:
    """By which a source is known the next time; a named pipe is a stream as well."""
    if is_url(source):
        return stable_url(source)
    path = Path(source)
    return str(path.resolve()) if source != "-" and path.is_file() else "-"


class KnownSubmissions(Protocol):
    """What is asked of a ledger before anything of a manifest is kept."""

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in it already."""


async def refuse_resubmission(
    ledger: KnownSubmissions, prepared: Prepared, *, allowed: bool = False
) -> Brought:
    """Refuse a manifest that would buy again what is in the ledger under other parameters.

    Args:
        ledger: what is known.
        prepared: the manifest.
        allowed: it is meant.

    Returns:
        What it brings.

    Raises:
        ManifestError: more than a tenth of its first recordings are.
    """
    head = await in_thread(prepared.first_rows)
    rows = [row for row in head if isinstance(row, Row)]
    known = await ledger.asked_before(row.file_id for row in rows)
    new = {(row.file_id, row.parameters) for row in rows if row.parameters not in known.get(row.file_id, ())}
    brought = Brought(
        prepared.manifest.source,
        asked_for(Counter(parameters for _, parameters in new)),
        whole=len(head) < HEAD_ROWS,
    )
    changed = {
        row.file_id: row for row in rows if row.file_id in known and row.parameters not in known[row.file_id]
    }
    recordings = {row.file_id for row in rows}
    if allowed or len(changed) <= RESUBMITTED_SHARE * len(recordings):
        return brought
    example, counted_by = next(iter(changed.values())), prepared.manifest.counted_by
    raise ManifestError(
        f"{prepared.manifest.source}: {len(changed)} of the first {len(recordings)} recordings are in the "
        f"ledger already, asked for under other parameters, and would be paid for again. For example "
        f"{counted_by.numbered(example.line)}, {example.file_id}: now {asked_words(example.parameters)}. If "
        "a changed --definition, --interval, --offset or --type was not meant, undo it; if new pictures are "
        "wanted, add --allow-resubmit"
    )


async def refuse_resubmissions(
    ledger: KnownSubmissions, prepared: Sequence[Prepared], how: ReadOptions
) -> tuple[Brought, ...]:
    """Refuse what would be bought again, unless that is meant; returns what each manifest brings.

    Raises:
        ManifestError: a manifest would.
    """
    return tuple([await refuse_resubmission(ledger, one, allowed=how.allow_resubmit) for one in prepared])


def _judge_ids(manifest: Manifest, head: list[Row | InvalidRow]) -> list[str]:
    judged = rounded_ids(head, manifest.counted_by)
    said = f"{manifest.source}: {judged.message}"
    if judged.verdict is Verdict.REFUSE:
        raise ManifestError(said)
    return [said] if judged.verdict is Verdict.WARN else []


@dataclass(frozen=True, slots=True)
class Brought:
    """What the first rows of a manifest bring that the ledger lacks."""

    source: str
    asked: AskedFor
    whole: bool
    """These are all of its rows."""
