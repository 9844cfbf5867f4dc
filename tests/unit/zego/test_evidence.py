"""The evidence in an answer about the recording of a task."""

from __future__ import annotations

import pytest

from batcher.model.submission import FileId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.evidence import Evidence, evidence_of

TENCENT = ("1397757897438985123", Vendor.TENCENT)
HUAWEI = ("/record/a/b/2024-11-13.mp4", Vendor.HUAWEI)
AT_ROOT = ("x.mp4", Vendor.HUAWEI)
ENDED, OPEN = TaskState.FINISHED, TaskState.PROCESSING


@pytest.mark.parametrize(
    ("recording", "named", "urls", "state", "expected"),
    [
        (TENCENT, TENCENT[0], (), ENDED, Evidence.FOR),
        (TENCENT, "1397757897438985124", (), ENDED, Evidence.AGAINST),
        (TENCENT, "1397757897438985124", (), OPEN, Evidence.AGAINST),
        (TENCENT, None, (f"https://v.example/x/{TENCENT[0]}/snap_10_0.jpg?sign=a",), ENDED, Evidence.FOR),
        (TENCENT, None, (f"https://v.example/{TENCENT[0]}4/0.jpg",), ENDED, Evidence.AGAINST),
        (TENCENT, None, (f"https://v.example/0.jpg?of={TENCENT[0]}",), ENDED, Evidence.AGAINST),
        (TENCENT, None, ("https://v.example/0", f"https://v.example/{TENCENT[0]}"), ENDED, Evidence.FOR),
        (TENCENT, None, (), ENDED, Evidence.NONE),
        (TENCENT, None, (), TaskState.FAILED, Evidence.NONE),
        (TENCENT, None, (), OPEN, Evidence.LATER),
        (TENCENT, None, (), TaskState.WAITING, Evidence.LATER),
        (HUAWEI, None, ("record/a/b/2024-11-13_snapshot/0.jpg",), ENDED, Evidence.FOR),
        (HUAWEI, None, ("https://obs.example/record%2Fa%2Fb%2F0.jpg",), ENDED, Evidence.FOR),
        (HUAWEI, None, ("record/a/bc/0.jpg",), ENDED, Evidence.AGAINST),
        (HUAWEI, "record/a/b/2024-11-13.mp4", (), ENDED, Evidence.FOR),
        (AT_ROOT, None, ("anywhere/0.jpg",), ENDED, Evidence.NONE),
    ],
)  # fmt: skip
def test_evidence_of_a_report(
    recording: tuple[str, Vendor],
    named: str | None,
    urls: tuple[str, ...],
    state: TaskState,
    expected: Evidence,
) -> None:
    """A named recording decides; then the paths of the pictures; an unfinished task may say more later."""
    report = TaskReport(
        state, "", pictures=tuple(map(Picture, urls)), file_id=FileId(named) if named else None
    )
    assert evidence_of(report, FileId(recording[0]), recording[1]) is expected
