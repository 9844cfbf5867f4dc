"""Loading: manifests into the ledger, before and while the workers send.

A manifest is judged by its first rows before anything of it is kept: ids that a spreadsheet has rounded,
and an archive that is in the ledger already under other parameters, are refused as a whole. Reading goes
on in a thread of its own and yields to sending batch by batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from batcher.errors import ManifestError
from batcher.ledger import Ledger
from batcher.manifest import HEAD_ROWS, Defaults, Manifest, Verdict, open_manifest, rounded_ids
from batcher.model import InvalidRow, LoadId, Row

RESUBMITTED_SHARE = 0.1
"""More of a manifest's recordings than this under other parameters look like a changed default."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HowToRead:
    """How manifests are read: what rows leave out, and what is waved through."""

    defaults: Defaults = field(default_factory=Defaults)
    encoding: str | None = None
    trust_ids: bool = False
    allow_resubmit: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """An open manifest that has passed the checks made before anything of it is kept; loading closes it."""

    manifest: Manifest
    path: str
    """The absolute path of a file; ``-`` for a stream."""
    head: list[Row | InvalidRow]
    """Its first rows, read already."""
    warnings: list[str]


def prepare(source: str, how: HowToRead) -> Prepared:
    """Open a manifest, check all its bytes if it is a file, and judge its first rows.

    Raises:
        ManifestError: it cannot be used; nothing of it is kept.
    """
    manifest = open_manifest(source, defaults=how.defaults, encoding=how.encoding)
    try:
        manifest.check()
        head = list(islice(manifest, HEAD_ROWS))
        warnings = [] if how.trust_ids else _judge_ids(manifest, head)
    except BaseException:
        manifest.close()
        raise
    path = Path(source)
    is_file = source != "-" and path.is_file()  # a named pipe is a stream as well
    return Prepared(manifest, str(path.resolve()) if is_file else "-", head, warnings)


async def refuse_resubmission(ledger: Ledger, prepared: Prepared) -> None:
    """Refuse a manifest that would buy again what is in the ledger under other parameters.

    Raises:
        ManifestError: more than a tenth of its first recordings are.
    """
    rows = [row for row in prepared.head if isinstance(row, Row)]
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


class Loader:
    """Brings prepared manifests into the ledger, one after the other.

    Args:
        ledger: where the rows go.
        batch_rows: how many rows make one transaction: few while sending goes on.
        added: told after every batch.
    """

    def __init__(self, ledger: Ledger, *, batch_rows: int, added: Callable[[], None]) -> None:
        self._ledger = ledger
        self._batch_rows = batch_rows
        self._added = added

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
        rows = chain(prepared.head, prepared.manifest)
        with prepared.manifest:
            while batch := await in_thread(_next_rows, rows, self._batch_rows):
                good = [row for row in batch if isinstance(row, Row)]
                bad = [row for row in batch if isinstance(row, InvalidRow)]
                await self._ledger.add(load_id, prepared.manifest.source, good, bad)
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
