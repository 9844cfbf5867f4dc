"""The evidence in an answer about the recording of a task."""

from __future__ import annotations

import pytest

from batcher.model.submission import FileId, Vendor
from batcher.model.task import Picture, TaskReport, TaskState
from batcher.zego.evidence import Evidence, contradict, evidence_of

TENCENT = ("1397757897438985123", Vendor.TENCENT)
HUAWEI = ("/record/a/b/2024-11-13.mp4", Vendor.HUAWEI)
AT_ROOT = ("x.mp4", Vendor.HUAWEI)
OTHER = "1397757897438985124"
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
        (TENCENT, TENCENT[0], (f"https://v.example/{OTHER}/0.jpg",), ENDED, Evidence.AGAINST),
        (TENCENT, TENCENT[0], (f"https://v.example/{TENCENT[0]}/0.jpg",), ENDED, Evidence.FOR),
        (TENCENT, TENCENT[0], ("https://v.example/0.jpg",), ENDED, Evidence.FOR),
        (HUAWEI, HUAWEI[0], ("record/a/c/0.jpg",), ENDED, Evidence.AGAINST),
        (HUAWEI, HUAWEI[0], ("0.jpg",), ENDED, Evidence.FOR),
    ],
)  # fmt: skip
def test_evidence_of_a_report(
    recording: tuple[str, Vendor],
    named: str | None,
    urls: tuple[str, ...],
    state: TaskState,
    expected: Evidence,
) -> None:
    """A named recording counts unless paths name another one; an unfinished task may say more later."""
    report = TaskReport(
        state, "", pictures=tuple(map(Picture, urls)), file_id=FileId(named) if named else None
    )
    assert evidence_of(report, FileId(recording[0]), recording[1]) is expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (None, Evidence.FOR),
        ("SnapshotByTimeOffset", Evidence.FOR),
        ("SampleSnapshot", Evidence.FOR),
        ("ComposeMedia", Evidence.AGAINST),
        ("Transcode", Evidence.AGAINST),
    ],
)
def test_task_that_merges_or_transcodes_is_no_snapshot_task(event: str | None, expected: Evidence) -> None:
    """The recording may be the same one: the task is another."""
    report = TaskReport(ENDED, "FINISH", file_id=FileId(TENCENT[0]), event=event)
    assert evidence_of(report, FileId(TENCENT[0]), Vendor.TENCENT) is expected


@pytest.mark.parametrize(
    ("recording", "urls", "expected"),
    [
        (TENCENT, (), False),
        (TENCENT, ("https://v.example/1.jpg",), False),
        (TENCENT, ("https://v.example/1500030200-procedurev2-00000000000000000000tt0/1.jpg",), False),
        (TENCENT, (f"https://v.example/{OTHER}/1.jpg",), True),
        (TENCENT, (f"https://v.example/{OTHER}/1.jpg", f"https://v.example/{TENCENT[0]}/1.jpg"), False),
        (HUAWEI, ("https://v.example/1.jpg",), False),
        (HUAWEI, ("https://v.example/record/a/b/1.jpg",), False),
        (HUAWEI, ("https://v.example/record/a/c/1.jpg",), True),
        (AT_ROOT, ("https://v.example/record/a/c/1.jpg",), False),
    ],
)
def test_pictures_contradict_by_naming_another_recording(
    recording: tuple[str, Vendor], urls: tuple[str, ...], expected: bool
) -> None:
    """A path that names no recording contradicts nothing."""
    assert contradict(map(Picture, urls), FileId(recording[0]), recording[1]) is expected
