"""Writes the sample manifests that no editor can: ``python tests/binary_samples.py``, in a checkout.

Parquet, a workbook and compressed CSV are made of the rows of ``tencent.csv``; a test holds them together.
"""

from __future__ import annotations

import csv
from pathlib import Path

from support.manifest_files import PACKINGS, as_parquet, workbook_of

SAMPLES = Path(__file__).parents[2] / "sample_manifests"


def main() -> None:
    """Write them all."""
    plain = (SAMPLES / "tencent.csv").read_bytes()
    table = list(csv.DictReader(plain.decode().splitlines()))
    rows = [list(table[0]), *(list(row.values()) for row in table)]
    notes = [["The recordings of November."], ["Ids are text: a spreadsheet keeps 15 digits of a number."]]
    (SAMPLES / "tencent.parquet").write_bytes(as_parquet(table))
    (SAMPLES / "tencent.xlsx").write_bytes(workbook_of({"Notes": notes, "Recordings": rows}))
    (SAMPLES / "tencent.csv.gz").write_bytes(PACKINGS["gzip"][1](plain))


if __name__ == "__main__":
    main()
