"""Manifests before a run: opened, checked, and refused when sending them would be a mistake.

Called by ``run``, ``load``, ``--dry-run`` and the library before anything of a manifest is kept or sent. A
manifest is judged by its first rows: ids that a spreadsheet has rounded, and recordings that are in the
ledger already under other parameters, refuse it as a whole. Both rules are promised.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from batcher.errors import ManifestError
from batcher.exit_codes import TIME_OVER
from batcher.manifest.encoded_keys import encoded_keys, huawei_rows, odd_keys, slash_twin, slash_warning
from batcher.manifest.lacking_option import forgotten, has_valid_row, lacking_option
from batcher.manifest.read_options import LastOptions, ReadOptions, no_options
from batcher.manifest.reader import Manifest
from batcher.manifest.rounded_ids import Verdict, rounded_ids
from batcher.manifest.sources.file_digest import Mark, digest_of
from batcher.manifest.sources.patterns import expand, ledger_name
from batcher.manifest.sources.remote import redacted
from batcher.manifest.threads import in_thread
from batcher.model.records import AskedFor
from batcher.model.submission import FileId, InvalidRow, Parameters, Row, source_name
from batcher.report.asked import asked_for, asked_words
from batcher.report.formatting import count
from batcher.submit.prepared import Head, Prepared

RESUBMITTED_SHARE = 0.1
"""A larger share of a manifest's recordings under other parameters looks like a changed default."""


@dataclass(frozen=True, slots=True)
class LateManifests:
    """Manifests that had not all arrived when the time limit of the run was reached."""

    sources: tuple[str, ...]
    """All manifests of the run: none is loaded to its end."""
    waited_for: str
    """The manifest that was being read."""
    rows: int
    """The number of its rows that arrived."""

    @property
    def reason(self) -> str:
        """The event in words for the user."""
        name = source_name(self.waited_for)
        arrived = f"{count(self.rows, 'row')} arrived, loaded now" if self.rows else "no row arrived"
        return f"{TIME_OVER} while {name} was still being read ({arrived})"


class Preparation:
    """The checks of a run's manifests, made in a thread.

    They take as long as the manifests take to arrive. A run whose time limit is reached before calls
    :meth:`interrupt`.

    Args:
        sources: names and patterns.
        how: how they are read, as far as it was given.
        last_options: returns the options of the last load of a manifest, by its name in the ledger: used
            where ``how`` does not say. Blocks.
    """

    def __init__(
        self,
        sources: Sequence[str],
        how: ReadOptions,
        last_options: LastOptions = no_options,
    ) -> None:
        self._how = how
        self._last_options = last_options
        self._how_by_path: dict[str, tuple[ReadOptions, tuple[str, ...]]] = {}
        self._sources = sources
        self._names: list[str] = []
        self._prepared: list[Prepared] = []
        self._reading: tuple[Manifest, Head] | None = None
        self._changing = threading.Lock()
        self._interrupted = False
        self._marks: dict[str, Mark | None] = {}

    def all(self) -> list[Prepared]:
        """Prepare the manifests that sources and patterns name, in their order, each file once. Blocks.

        Raises:
            ManifestError: a pattern matches nothing, or a manifest cannot be used; nothing is kept.
        """
        self._names = expand(self._sources)
        try:
            for name in self._names:
                if not self._interrupted:
                    self._prepare(name)
        except BaseException:
            for one in self._prepared:
                one.manifest.close()
            raise
        return self._prepared

    def interrupt(self) -> tuple[list[Prepared], LateManifests]:
        """Take no more rows, and return what has arrived; another thread may still wait for the rest.

        Raises:
            ManifestError: the rows that arrived show that a manifest cannot be used.
        """
        with self._changing:
            self._interrupted = True
            prepared, reading = [*self._prepared], self._reading
        names = [redacted(name) for name in self._names or self._sources]
        waited_for = names[min(len(prepared), len(names) - 1)]
        rows = 0
        if reading is not None:
            manifest, head = reading[0], reading[1].copied()
            rows = len(head.rows)
            prepared.append(self._judged(self._names[len(prepared)], manifest, head))
        return prepared, LateManifests(tuple(names), waited_for, rows)

    def _prepare(self, name: str) -> None:
        """Open a manifest, check all its bytes if it is a file, and judge its first rows."""
        path = ledger_name(name)
        self._marks[path] = Mark.of(path)
        manifest = self._how_of(path)[0].open(name)
        try:
            manifest.check()
            head = Head()
            self._reading = manifest, head
            head.read(manifest, lambda: self._interrupted)
            if self._interrupted:
                return
            self._refuse_lacking(name, manifest, head)
            prepared = self._judged(name, manifest, head)
        except BaseException:
            manifest.close()
            raise
        with self._changing:
            self._prepared.append(prepared)
            self._reading = None
        if len(self._names) > 1:
            prepared.release()

    def _judged(self, name: str, manifest: Manifest, head: Head) -> Prepared:
        path = ledger_name(name)
        how, remembered = self._how_of(path)
        warnings = list(manifest.warnings)
        if not how.trust_ids:
            warnings += _judge_ids(manifest, head.rows)
        again, digest = partial(self._open_again, name, path), partial(self._digest, name, path, how)
        return Prepared(manifest, path, head, warnings, how, again, digest, remembered=remembered)

    def _refuse_lacking(self, name: str, manifest: Manifest, head: Head) -> None:
        """Refuse a manifest whose rows lack the same option: the option was forgotten.

        A file of more rows is read to the first row that is valid. A stream is judged by its first rows.
        """
        if not head.whole and manifest.again and not has_valid_row(head.rows):
            with self._open_again(name, ledger_name(name)) as again:
                found = lacking_option(again)
        else:
            found = lacking_option(head.rows)
        if found:
            raise forgotten(manifest.source, found, manifest.counted_by, manifest.warnings)

    def _open_again(self, name: str, path: str) -> Manifest:
        """Open a file that was checked before.

        Raises:
            ManifestError: it cannot be used, or was written to or replaced since.
        """
        manifest, mark, now = self._how_of(path)[0].open(name), self._marks.get(path), Mark.of(path)
        if mark is None or now is None or mark.content == now.content:
            return manifest
        manifest.close()
        raise ManifestError(
            f"{manifest.source}: changed after it was checked, and before it was read. Its load stays "
            "unfinished; load it again once it is complete"
        )

    def _how_of(self, path: str) -> tuple[ReadOptions, tuple[str, ...]]:
        """Return the options by which a manifest is read, and those of its last load among them."""
        if path not in self._how_by_path:  # once: the load itself is the last one from its beginning on
            self._how_by_path[path] = self._how.filled_from(self._last_options(path))
        return self._how_by_path[path]

    def _digest(self, name: str, path: str, how: ReadOptions) -> str | None:
        mark = self._marks.get(path)
        if path == "-" or mark is None or mark != Mark.of(path):
            return None
        digest = digest_of(path, repr(how))
        # A link may have been changed since, and the rows were read by its name.
        return digest if mark == Mark.of(path) and path == ledger_name(name) else None


class KnownSubmissions(Protocol):
    """The ledger, as far as the check of resubmissions uses it."""

    async def asked_before(self, file_ids: Iterable[FileId]) -> dict[FileId, set[Parameters]]:
        """Return the parameters under which recordings are in it already."""


async def refuse_resubmission(
    ledger: KnownSubmissions, prepared: Prepared, *, allowed: bool = False
) -> Brought:
    """Refuse a manifest whose recordings are in the ledger under other parameters and would be paid for
    again.

    Args:
        ledger: which recordings it holds.
        prepared: the manifest.
        allowed: the user wants them again.

    Returns:
        The submissions that the manifest adds.

    Raises:
        ManifestError: more than a tenth of its first recordings are in the ledger under other parameters.
    """
    head = await in_thread(prepared.first_rows)
    rows = [row for row in head.rows if isinstance(row, Row)]
    known = await ledger.asked_before(row.file_id for row in rows)
    new = {(row.file_id, row.parameters) for row in rows if row.parameters not in known.get(row.file_id, ())}
    brought = Brought(
        prepared.manifest.source,
        asked_for(Counter(parameters for _, parameters in new)),
        whole=head.whole,
        warnings=await _slash_warnings(ledger, prepared.manifest, huawei_rows(head.rows)),
    )
    changed = {
        row.file_id: row for row in rows if row.file_id in known and row.parameters not in known[row.file_id]
    }
    recordings = {row.file_id for row in rows}
    if allowed or len(changed) <= RESUBMITTED_SHARE * len(recordings):
        return brought
    example, counted_by = next(iter(changed.values())), prepared.manifest.counted_by
    before = "; ".join(sorted(map(asked_words, known[example.file_id])))
    raise ManifestError(
        f"{prepared.manifest.source}: {len(changed)} of the first {len(recordings)} recordings are in the "
        f"ledger already, asked for under other parameters, and would be paid for again. For example "
        f"{counted_by.numbered(example.line)}, {example.file_id}: before {before}; now "
        f"{asked_words(example.parameters)}. If a changed --definition, --interval, --offset or --type was "
        "not intended, undo it; to get new pictures, add --allow-resubmit"
    )


async def refuse_resubmissions(
    ledger: KnownSubmissions, prepared: Sequence[Prepared], how: ReadOptions
) -> tuple[Brought, ...]:
    """Refuse manifests whose recordings would be paid for again; return what each manifest adds.

    Raises:
        ManifestError: more than a tenth of one's recordings would be, and ``how`` does not allow it.
    """
    return tuple([await refuse_resubmission(ledger, one, allowed=how.allow_resubmit) for one in prepared])


async def _slash_warnings(
    ledger: KnownSubmissions, manifest: Manifest, rows: Sequence[Row]
) -> tuple[str, ...]:
    """Return a warning if the ledger holds keys of a manifest with a leading slash more, or one less."""
    if not rows:
        return ()
    own = {row.file_id for row in rows}
    known = await ledger.asked_before(twin for file_id in own if (twin := slash_twin(file_id)) not in own)
    warning = slash_warning(rows, known, manifest.counted_by, "in the ledger or here")
    return (f"{manifest.source}: {warning}",) if warning else ()


def _judge_ids(manifest: Manifest, head: Sequence[Row | InvalidRow]) -> list[str]:
    """Refuse rounded and encoded ids; return warnings where they are only suspicious."""
    huawei, counted_by = huawei_rows(head), manifest.counted_by
    rounded = rounded_ids(head, counted_by)
    warnings = odd_keys(huawei, counted_by)
    for verdict, message in ((rounded.verdict, rounded.message), encoded_keys(huawei, counted_by)):
        if verdict is Verdict.REFUSE:
            raise ManifestError(f"{manifest.source}: {message}")
        if verdict is Verdict.WARN:
            warnings.append(message)
    warnings.append(slash_warning(huawei, {row.file_id for row in huawei}, counted_by, "in it"))
    return [f"{manifest.source}: {text}" for text in warnings if text]


@dataclass(frozen=True, slots=True)
class Brought:
    """The submissions that the first rows of a manifest add to the ledger."""

    source: str
    asked: AskedFor
    whole: bool
    """The first rows are all of its rows."""
    warnings: tuple[str, ...] = ()
    """What the ledger shows about its ids."""
