"""New submissions out of callbacks about recordings, by the rules of a manifest.

Called by the receiver for each callback when the user has given ``--submit-new``. It adds nothing itself.
"""

from __future__ import annotations

from dataclasses import replace

from batcher.manifest.columns import read_columns
from batcher.manifest.parameters import Defaults
from batcher.manifest.rows import read_rows
from batcher.model.callbacks import FACTS, Callback, Composed, Recorded
from batcher.model.submission import InvalidRow, Row, Vendor


class NewSubmissions:
    """Makes the submission that follows from a callback.

    Args:
        defaults: the parameters of each new submission.
    """

    def __init__(self, defaults: Defaults) -> None:
        columns = read_columns("callbacks", ["file_id", "vendor", *FACTS])
        self._columns = replace(columns, marked=False)
        self._defaults = defaults

    def __call__(self, callback: Callback) -> Row | InvalidRow | None:
        """Return the submission, or why it cannot be sent; None when none follows from the callback."""
        if not isinstance(callback, Recorded | Composed) or not callback.file_id or not callback.vendor:
            return None
        if isinstance(callback, Composed) and not callback.succeeded:
            return None
        return self._row(callback.file_id, callback.vendor, [callback.facts.get(name, "") for name in FACTS])

    def missing(self, vendor: Vendor) -> InvalidRow | None:
        """Return the parameter that is missing for all recordings of a vendor; None when none is."""
        row = self._row("1", vendor, [""] * len(FACTS))
        return row if isinstance(row, InvalidRow) else None

    def _row(self, file_id: str, vendor: Vendor, facts: list[str]) -> Row | InvalidRow | None:
        return next(read_rows([(0, [file_id, vendor, *facts], None)], self._columns, self._defaults), None)
