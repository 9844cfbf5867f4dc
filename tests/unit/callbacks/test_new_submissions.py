"""The submission that follows from a callback."""

from __future__ import annotations

import pytest

from batcher.callbacks.new_submissions import NewSubmissions
from batcher.manifest.parameters import Defaults
from batcher.model.callbacks import Callback, Composed, Other, Recorded, Seal, Snapshot
from batcher.model.submission import FileId, InvalidRow, Row, TaskId, Vendor

SEAL = Seal(1, "n", "s")
ID = FileId("1397757897438985123")
BOTH = Defaults(definition=10, interval=5.0, offsets=(1.0,))


@pytest.mark.parametrize(
    ("callback", "follows"),
    [
        (Recorded(SEAL, Vendor.TENCENT, ID), Row),
        (Recorded(SEAL, Vendor.HUAWEI, FileId("a/b.m3u8")), Row),
        (Recorded(SEAL), None),
        (Composed(SEAL, "0", Vendor.TENCENT, ID), Row),
        (Composed(SEAL, None, Vendor.TENCENT, ID), Row),
        (Composed(SEAL, "1", Vendor.TENCENT, ID), None),
        (Composed(SEAL, "0"), None),
        (Snapshot(SEAL, TaskId("t"), Vendor.TENCENT, ID), None),
        (Other(SEAL, "room_login"), None),
        (Recorded(SEAL, Vendor.TENCENT, FileId("1.39776E+18")), InvalidRow),
    ],
)
def test_submission_follows_from_a_recording(callback: Callback, follows: type | None) -> None:
    """A new recording becomes a row; one that cannot be sent, an invalid row; nothing else does."""
    row = NewSubmissions(BOTH)(callback)
    assert (None if row is None else type(row)) is follows


@pytest.mark.parametrize(
    ("defaults", "missing"),
    [(BOTH, set()), (Defaults(interval=5.0), {Vendor.TENCENT}), (Defaults(), set(Vendor))],
)
def test_missing_parameters_are_named_by_vendor(defaults: Defaults, missing: set[Vendor]) -> None:
    """A vendor whose recordings can never be sent is known before the first callback."""
    submissions = NewSubmissions(defaults)
    assert {vendor for vendor in Vendor if submissions.missing(vendor) is not None} == missing
