"""The manifest reader: a file of recordings in, a stream of rows out.

A tool of the flow: it knows the model and the errors, nothing of the ledger, the service or the
command line. It reads; it never sends, writes, prints, or asks anybody.

The way through: ``source`` (bytes) → ``encoding`` and ``text`` (lines) → ``delimited`` (cells) →
``columns`` (which cell is what) → ``rows`` with ``parameters`` (the rules); ``reader`` joins them,
``rounding`` looks at what came out.
"""

from __future__ import annotations

from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.manifest.rounding import HEAD_ROWS, RoundedIds, Verdict, rounded_ids

__all__ = ["HEAD_ROWS", "Defaults", "Manifest", "RoundedIds", "Verdict", "open_manifest", "rounded_ids"]
