"""Texts that statements and tables share: versions of the schema, conditions of indexes, and empty keys.

Called by the table declarations and by every query that must use such an index. A query uses a partial index
only if it repeats the condition word for word, so these texts and the indexes of the schema change together.
"""

from __future__ import annotations

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every schema that this program supports, oldest first; the last is the one declared here."""

IS_TROUBLED = "attempts > 0 AND state IN ('rejected', 'failed', 'in_doubt')"
"""The condition of an index; a query that is to use it repeats it word for word. The number comes
first because it is cheap: the condition is evaluated for every row that is loaded."""

IS_FRESH = "state = 'pending' AND tries_doubt = 0 AND not_before_ms IS NULL"
"""The condition of an index: submissions that wait for nothing and were never in doubt."""

IS_UNTRACKED = "state = 'submitted' AND NOT tracked"
"""The condition of an index: submissions with a task id whose task is not tracked yet."""

IS_POSSIBLY_TWICE = "doubted AND state = 'submitted'"
"""The condition of an index: submissions with a task id of which an earlier attempt may have been accepted
as well."""

IS_CLAIMED = "claimed_at_ms IS NOT NULL AND due_at_ms IS NOT NULL"
"""The condition of an index: tasks that a callback has reported as ended, and no poll yet."""

IS_TASK_TROUBLED = "state IN ('failed', 'unknown') AND closed_at_ms IS NOT NULL"
"""The condition of an index: tasks that have ended without pictures."""

NO_CODE = -1
"""The code of tallies without a code. The service may send it as a code, too: ``coded`` distinguishes the
two."""
NO_RUN = 0
"""In tallies: no run has settled an attempt yet."""
