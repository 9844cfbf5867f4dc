"""Loading: manifests into the ledger, before and while the workers send.

A manifest is judged by its first rows before anything of it is kept: ids that a spreadsheet has rounded,
and an archive that is in the ledger already under other parameters, are refused as a whole. Reading goes
on in a thread of its own and yields to sending batch by batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar

from batcher.errors import ManifestError
from batcher.ledger import Added, Ledger
from batcher.manifest import (
    HEAD_ROWS,
    Defaults,
    Manifest,
    Verdict,
    expand,
    is_url,
    lasting,
    open_manifest,
    redacted,
    rounded_ids,
)
from batcher.model import FileId, InvalidRow, LoadId, Parameters, Row
from batcher.notices import PassedOver, Tell, to_nobody

RESUBMITTED_SHARE = 0.1
"""More of a manifest's recordings than this under other parameters look like a changed default."""

ROWS_AT_ONCE = 5_000
"""Rows of a manifest read at once when nothing is being sent."""

BATCHES_AT_ONCE = 16
"""So many of these may be on their way to the disk: those that gather while the disk is busy go together."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HowToRead:
    """How manifests are read: what rows leave out, what is waved through, and what their names do not say."""

    defaults: Defaults = field(default_factory=Defaults)
    encoding: str | None = None
    trust_ids: bool = False
    allow_resubmit: bool = False
    format: str | None = None
    sheet: str | None = None

    def open(self, source: str) -> Manifest:
        """Open a manifest.

        Raises:
            ManifestError: it cannot be used.
        """
        return open_manifest(
            source, defaults=self.defaults, encoding=self.encoding, format_=self.format, sheet=self.sheet
        )

    def open_only(self, source: str) -> Manifest:
        """Open the one manifest that a name or a pattern stands for.

        Raises:
            ManifestError: it cannot be used, or a pattern stands for several.
        """
        names = expand([source])
        if len(names) > 1:
            raise ManifestError(
                f"{redacted(source)}: {len(names)} files match this pattern. Name one of them"
            )
        return self.open(names[0])


class Prepared:
    """A manifest that has passed the checks made before anything of it is kept; loading closes it.

    Attributes:
        manifest: opened; closed again after :meth:`let_go`.
        path: by which it is known the next time: the absolute path of a file, a URL; ``-`` for a stream.
        warnings: what a person should hear of it.
    """

    def __init__(
        self,
        manifest: Manifest,
        path: str,
        head: list[Row | InvalidRow],
        warnings: list[str],
        again: Callable[[], Manifest],
    ) -> None:
        self.manifest = manifest
        self.path = path
        self.warnings = warnings
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


def prepare_all(sources: Sequence[str], how: HowToRead) -> list[Prepared]:
    """Prepare what sources and patterns stand for, in their order, each file once.

    Raises:
        ManifestError: a pattern stands for nothing, or one manifest cannot be used; nothing of any is kept.
    """
    names, prepared = expand(sources), list[Prepared]()
    try:
        for name in names:
            prepared.append(prepare(name, how))
            if len(names) > 1:
                prepared[-1].let_go()
    except BaseException:
        for one in prepared:
            one.manifest.close()
        raise
    return prepared


def prepare(source: str, how: HowToRead) -> Prepared:
    """Open a manifest, check all its bytes if it is a file, and judge its first rows.

    Raises:
        ManifestError: it cannot be used; nothing of it is kept.
    """
    manifest = how.open(source)
    try:
        manifest.check()
        head = list(islice(manifest, HEAD_ROWS))
        warnings = [] if how.trust_ids else _judge_ids(manifest, head)
    except BaseException:
        manifest.close()
        raise
    return Prepared(manifest, _lasting(source), head, warnings, lambda: how.open(source))


def _lasting(source: str) -> str:
    """By which a source is known the next time; a named pipe is a stream as well."""
    if is_url(source):
        return lasting(source)
    path = Path(source)
    return str(path.resolve()) if source != "-" and path.is_file() else "-"


class Known(Protocol):
    """What is asked of a ledger before anything of a manifest is kept."""

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Under which parameters recordings are in it already."""


async def refuse_resubmission(ledger: Known, prepared: Prepared) -> None:
    """Refuse a manifest that would buy again what is in the ledger under other parameters.

    Raises:
        ManifestError: more than a tenth of its first recordings are.
    """
    head = await in_thread(prepared.first_rows)
    rows = [row for row in head if isinstance(row, Row)]
    known = await ledger.asked_before(row.file_id for row in rows)
    changed = {
        row.file_id: row for row in rows if row.file_id in known and row.parameters not in known[row.file_id]
    }
    recordings = {row.file_id for row in rows}
    if len(changed) <= RESUBMITTED_SHARE * len(recordings):
        return
    example = next(iter(changed.values()))
    raise ManifestError(
        f"{prepared.manifest.source}: {len(changed)} of the first {len(recordings)} recordings are in the "
        f"ledger already, asked for under other parameters, and would be paid for again. For example "
        f"line {example.line}, {example.file_id}: now {_words(example)}. If a changed --definition, "
        "--interval, --offset or --type was not meant, undo it; if new pictures are wanted, "
        "add --allow-resubmit"
    )


async def refuse_resubmissions(ledger: Known, prepared: Sequence[Prepared], how: HowToRead) -> None:
    """Refuse what would be bought again, unless that is meant.

    Raises:
        ManifestError: a manifest would.
    """
    if not how.allow_resubmit:
        for one in prepared:
            await refuse_resubmission(ledger, one)


async def load_alone(ledger: Ledger, prepared: Sequence[Prepared], tell: Tell = to_nobody) -> None:
    """Load manifests while nothing is sent: as fast as the disk takes them.

    Raises:
        ManifestError: one turned out unusable on the way; what was read so far is kept.
    """
    await Loader(
        ledger, batch_rows=ROWS_AT_ONCE, batches_at_once=BATCHES_AT_ONCE, added=lambda: None, tell=tell
    ).load(prepared)


class Loader:
    """Brings prepared manifests into the ledger, one after the other.

    Args:
        ledger: where the rows go.
        batch_rows: how many rows make one batch: few while sending goes on.
        batches_at_once: how many may be on their way to the disk, where those that wait go together;
            with more than one, reading goes on meanwhile.
        added: told after every batch.
        tell: told what a manifest held that is no row.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        batch_rows: int,
        batches_at_once: int = 1,
        added: Callable[[], None],
        tell: Tell = to_nobody,
    ) -> None:
        self._ledger = ledger
        self._batch_rows = batch_rows
        self._batches_at_once = batches_at_once
        self._added = added
        self._tell = tell

    async def load(self, manifests: Sequence[Prepared]) -> None:
        """Read manifests to their ends. All are on record as unfinished before the first is read.

        Raises:
            ManifestError: one turned out unusable on the way; what was read so far is kept.
        """
        announced = [
            (prepared, await self._ledger.start_load(one.source, prepared.path, one.columns))
            for prepared in manifests
            for one in [prepared.manifest]
        ]
        for prepared, load_id in announced:
            try:
                await self._load(prepared, load_id)
            except ManifestError as exc:
                await self._ledger.end_load(load_id, str(exc))
                raise
            await self._ledger.end_load(load_id)

    async def _load(self, prepared: Prepared, load_id: LoadId) -> None:
        rows = await in_thread(prepared.rows)
        with prepared:
            await self._keep(load_id, prepared.manifest.source, rows)
            if passed_over := prepared.manifest.passed_over:
                met = ", ".join(f"{n:,} × {name}" for name, n in passed_over.items())
                self._tell(PassedOver(prepared.manifest.source, met))

    async def _keep(self, load_id: LoadId, source: str, rows: Iterator[Row | InvalidRow]) -> None:
        """Hand batch after batch to the ledger. Whatever ends it, what was handed over is kept first."""
        keeping = deque[asyncio.Future[Added]]()
        try:
            while batch := await in_thread(_next_rows, rows, self._batch_rows):
                bad = [row for row in batch if isinstance(row, InvalidRow)]
                good = [row for row in batch if isinstance(row, Row)]
                keeping.append(asyncio.ensure_future(self._ledger.add(load_id, source, good, bad)))
                del batch, good, bad  # not held while the next are read
                while len(keeping) >= self._batches_at_once:
                    await self._kept(keeping)
            while keeping:
                await self._kept(keeping)
        finally:
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _kept(self, keeping: deque[asyncio.Future[Added]]) -> None:
        await keeping.popleft()
        self._added()


def _judge_ids(manifest: Manifest, head: list[Row | InvalidRow]) -> list[str]:
    judged = rounded_ids(head)
    said = f"{manifest.source}: {judged.message}"
    if judged.verdict is Verdict.REFUSE:
        raise ManifestError(said)
    return [said] if judged.verdict is Verdict.WARN else []


def _next_rows(rows: Iterator[Row | InvalidRow], n: int) -> list[Row | InvalidRow]:
    return list(islice(rows, n))


def _words(row: Row) -> str:
    asked = row.parameters
    parts = [asked.vendor.value, asked.type.value]
    parts += [f"definition {asked.definition}"] if asked.definition else []
    parts += [f"interval {asked.interval}"] if asked.interval else []
    parts += [f"offsets {';'.join(asked.offsets)}"] if asked.offsets else []
    return ", ".join(parts)


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a blocking function in a thread that the process does not wait for when it ends.

    A read from a terminal or a pipe cannot be interrupted, and a stopped run must not hang on it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def resolve(result: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # None only where the function returns it

    def call() -> None:
        try:
            result, error = function(*args, **kwargs), None
        except BaseException as exc:
            result, error = None, exc
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(resolve, result, error)

    threading.Thread(target=call, name="manifest-reader", daemon=True).start()
    return await done
