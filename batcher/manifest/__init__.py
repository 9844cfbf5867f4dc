"""The manifest reader: a file of recordings in, a stream of rows out.

A tool of the flow: it knows the model and the errors, nothing of the ledger, the service or the
command line. It reads; it never sends, writes, prints, or asks anybody.

The way through: ``sources/local`` or ``sources/remote`` (bytes), ``sources/compression`` (the bytes they
hold), ``formats/detect`` (of which kind) → a ``formats/table`` of columns and records, made by one module
for each format (``formats/csv_table``, ``formats/id_list``, ``formats/json_table``, ``formats/parquet``,
``formats/xlsx``; text comes to them through ``text/encoding`` and ``text/lines``, JSON through
``formats/json_stream`` and ``formats/vendor_json``) → ``columns`` (which cell is what) → ``rows`` with
``parameters`` (the rules). ``reader`` joins them, ``sources/patterns`` finds the files, ``rounded_ids``
looks at what came out. ``sources/file_digest`` tells whether a file has to be read at all.
"""

from __future__ import annotations

from batcher.manifest.formats.detect import ManifestFormat
from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import Manifest, open_manifest
from batcher.manifest.rounded_ids import HEAD_ROWS, RoundedIds, Verdict, rounded_ids
from batcher.manifest.sources.file_digest import Mark, digest_of
from batcher.manifest.sources.patterns import expand
from batcher.manifest.sources.remote import is_url, redacted, stable_url

__all__ = [
    "HEAD_ROWS",
    "Defaults",
    "Manifest",
    "ManifestFormat",
    "Mark",
    "RoundedIds",
    "Verdict",
    "digest_of",
    "expand",
    "is_url",
    "open_manifest",
    "redacted",
    "rounded_ids",
    "stable_url",
]
