"""A manifest that has passed the checks, and its first rows, by which it was judged.

Made by :mod:`batcher.submit.manifest_checks`, read by the loader. Memory does not depend on the length of
rows: what the first rows carry is held up to a limit, and a file is read again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from types import TracebackType
from typing import Self

from batcher.manifest.batches import next_rows, without_content
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.reader import Manifest
from batcher.manifest.rounded_ids import HEAD_ROWS
from batcher.model.submission import InvalidRow, Row

HEAD_CHARACTERS = 1 << 23
"""The limit of characters that the first rows of a manifest may hold in memory."""


class Head:
    """The first rows of a manifest, by which it is judged.

    Rows may carry much in columns of their own. Where they do, those of a file are kept without it, and those
    of a stream are fewer.

    Attributes:
        rows: at most ``HEAD_ROWS``.
        lightened: they lack what they carry.
        whole: there are no others.
    """

    def __init__(self) -> None:
        self.rows: list[Row | InvalidRow] = []
        self.lightened = False
        self.whole = False

    def copied(self) -> Head:
        """Return a copy, which does not grow."""
        copy = Head()
        copy.rows, copy.lightened, copy.whole = list(self.rows), self.lightened, self.whole
        return copy

    def read(self, manifest: Manifest, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Read the first rows of a manifest until they are enough, or until ``interrupted`` says so."""
        characters = 0
        while len(self.rows) < HEAD_ROWS:
            batch = next_rows(iter(manifest), 1 if not manifest.again else HEAD_ROWS - len(self.rows))
            if interrupted():
                return
            if not batch.rows:
                self.whole = True
                return
            characters += batch.characters
            self.rows += map(without_content, batch.rows) if self.lightened else batch.rows
            if characters > HEAD_CHARACTERS and not manifest.again:
                return
            if characters > HEAD_CHARACTERS and not self.lightened:
                self.lightened = True
                self.rows[:] = map(without_content, self.rows)


class Prepared:
    """A manifest that has passed the checks; loading closes it.

    Attributes:
        manifest: opened; closed again after :meth:`release`.
        path: its name in the ledger: the absolute path of a file, a URL, or ``-`` for a stream.
        warnings: what the user should know about it.
        how: how it is read.
        remembered: the options among these that come from its last load, as the command line takes them.
        digest: returns a digest of its bytes and of how they are read: equal digests mean equal rows. Returns
            None for a stream, and for a file that was written to since it was opened. Blocks.

    Args:
        head: its first rows; those of a file may lack what they carry, and then it is read again.
        whole: the head is all of it.
    """

    def __init__(
        self,
        manifest: Manifest,
        path: str,
        head: Head,
        warnings: list[str],
        how: ReadOptions,
        again: Callable[[], Manifest],
        digest: Callable[[], str | None] = lambda: None,
        *,
        remembered: tuple[str, ...] = (),
    ) -> None:
        self.manifest = manifest
        self.path = path
        self.warnings = warnings
        self.how = how
        self.remembered = remembered
        self.digest = digest
        self._first: Head | None = head
        self._head: list[Row | InvalidRow] | None = head.rows
        self._again = again
        if head.lightened:
            manifest.close()
            self._head = None

    def release(self) -> None:
        """Close a file until it is loaded: a thousand manifests must not hold a thousand descriptors."""
        if self.manifest.again:
            self.manifest.close()
            self._head = self._first = None

    def first_rows(self) -> Head:
        """Return its first rows; a released file is read again for them."""
        if self._first is not None:
            return self._first
        with self._again() as manifest:
            head = Head()
            head.read(manifest)
            return head

    @property
    def streamed_rows(self) -> list[Row | InvalidRow]:
        """Rows that were read from a stream and exist nowhere else; empty for a file."""
        return [] if self.manifest.again else self._head or []

    def rows(self) -> Iterator[Row | InvalidRow]:
        """Return all rows, once."""
        if self._head is None:
            self.manifest, self._head = self._again(), []
        head, self._head, self._first = self._head, [], None
        return chain(_taken(head), self.manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.manifest.close()


def _taken(rows: list[Row | InvalidRow]) -> Iterator[Row | InvalidRow]:
    """Yield rows and do not hold those that were taken."""
    rows.reverse()
    while rows:
        yield rows.pop()
