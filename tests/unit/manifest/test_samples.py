"""The sample manifests and their documented contents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from batcher.manifest.parameters import Defaults
from batcher.manifest.reader import open_manifest
from batcher.manifest.rounded_ids import Verdict, rounded_ids
from batcher.model.submission import InvalidRow, Row, SnapshotType, Vendor

SAMPLES = Path(__file__).parents[3] / "sample_manifests"
PICTURES_AT_1_AND_2_S = Defaults(vendor="Tencent", definition="10", offsets=("1", "2"))
BOTH = Defaults(definition="10", interval="5")
SEARCHMEDIA = (
    *(
        "name",
        "created_at",
        "category",
        "media_status",
        "url",
        "storage_class",
        "duration",
        "width",
        "height",
    ),
    *("modified_at", "size", "etag"),
)
CALLBACKS = ("stream_alias", "url", "begin_time", "end_time", "duration", "record_task_id", "size")


def read_sample(name: str, defaults: Defaults | None = None) -> tuple[list[Row], list[InvalidRow]]:
    """Check and read a sample."""
    with open_manifest(str(SAMPLES / name), defaults=defaults or Defaults()) as manifest:
        manifest.check()
        rows = list(manifest)
    assert rounded_ids(rows).verdict is Verdict.FINE
    good = [row for row in rows if isinstance(row, Row)]
    assert not [row for row in good if row.file_id.endswith("00")]
    return good, [row for row in rows if isinstance(row, InvalidRow)]


@pytest.mark.parametrize(
    ("name", "defaults", "columns", "good", "invalid"),
    [
        ("tencent.csv", PICTURES_AT_1_AND_2_S, ("room", "recorded_at"), 12, 0),
        ("tencent.csv", None, ("room", "recorded_at"), 0, 12),
        ("huawei.csv", None, ("teacher",), 10, 0),
        ("mixed.csv", None, ("room",), 12, 0),
        ("nightly.tsv", None, ("Room Name", "host"), 8, 0),
        ("damaged.csv", None, ("note",), 6, 22),
        ("demo.csv", None, ("room", "recorded_at"), 56, 4),
        ("tencent.csv.gz", PICTURES_AT_1_AND_2_S, ("room", "recorded_at"), 12, 0),
        ("tencent.parquet", PICTURES_AT_1_AND_2_S, ("room", "recorded_at"), 12, 0),
        ("tencent.xlsx", PICTURES_AT_1_AND_2_S, ("room", "recorded_at"), 12, 0),
        ("lessons.jsonl", None, ("room", "teacher"), 4, 0),
        ("huawei.txt", Defaults(vendor="Huawei", interval="5"), (), 5, 0),
        ("searchmedia.json", BOTH, SEARCHMEDIA, 3, 0),
        ("callbacks.jsonl", BOTH, CALLBACKS, 3, 0),
    ],
)
def test_each_sample_holds_the_rows_it_should(
    name: str, defaults: Defaults | None, columns: tuple[str, ...], good: int, invalid: int
) -> None:
    """Good and invalid rows are counted; every row is another recording."""
    rows, faults = read_sample(name, defaults)
    assert (len(rows), len(faults)) == (good, invalid)
    assert len({row.file_id for row in rows}) == good
    with open_manifest(str(SAMPLES / name)) as manifest:
        assert manifest.columns == columns


@pytest.mark.parametrize("name", ["tencent.csv.gz", "tencent.parquet", "tencent.xlsx"])
def test_binary_samples_hold_the_rows_of_the_plain_one(name: str) -> None:
    """After a change of ``tencent.csv``, write them again with ``python tests/binary_samples.py``."""
    plain, other = (read_sample(one, PICTURES_AT_1_AND_2_S)[0] for one in ("tencent.csv", name))
    assert [row[1:] for row in plain] == [row[1:] for row in other]


def test_collected_callbacks_hold_one_of_another_event() -> None:
    """It is passed over, and counted."""
    with open_manifest(str(SAMPLES / "callbacks.jsonl"), defaults=BOTH) as manifest:
        assert [row.line for row in manifest] == [1, 2, 3]
        assert dict(manifest.passed_over) == {"snapshot callback": 1}


def test_huawei_sample_has_paths_that_need_escaping() -> None:
    """Spaces, Chinese and the characters of a query string are all there."""
    text = "".join(row.file_id for row in read_sample("huawei.csv")[0])
    assert set(" +&#%=?数") <= set(text)


def test_mixed_sample_has_both_vendors_and_types() -> None:
    """Both vendors, both types."""
    asked = Counter((row.parameters.vendor, row.parameters.type) for row in read_sample("mixed.csv")[0])
    assert asked == {
        (Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET): 5,
        (Vendor.TENCENT, SnapshotType.SAMPLE): 3,
        (Vendor.HUAWEI, SnapshotType.SAMPLE): 2,
        (Vendor.HUAWEI, SnapshotType.BY_TIME_OFFSET): 2,
    }


def test_damaged_sample_has_every_fault_once() -> None:
    """No two of its rows are invalid for the same reason."""
    faults = read_sample("damaged.csv")[1]
    assert Counter(fault.column for fault in faults) == {
        "file_id": 6,
        "vendor": 2,
        "type": 1,
        "definition": 3,
        "interval": 4,
        "offsets": 3,
        "row": 3,
    }
    assert len({(fault.column, fault.reason) for fault in faults}) == len(faults)


def test_demo_sample_has_every_special_recording() -> None:
    """One recording for each special answer of the sandbox, and four rows that cannot be sent."""
    rows, faults = read_sample("demo.csv")
    assert [(fault.line, fault.column) for fault in faults] == [
        (18, "file_id"),
        (32, "definition"),
        (43, "vendor"),
        (54, "offsets"),
    ]
    ids = [row.file_id for row in rows]
    for marker in ("404404404", "400400400", "503503503", "/record/wrong-id/", "/record/lost-answer/"):
        assert sum(file_id.startswith(marker) for file_id in ids) == 1, marker
    assert {row.parameters.vendor for row in rows} == set(Vendor)
