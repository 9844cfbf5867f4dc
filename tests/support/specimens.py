"""Values that many tests take as they are."""

from __future__ import annotations

from batcher.model.outcome import Answer, Disposition, Outcome
from batcher.model.submission import (
    Claim,
    FileId,
    Parameters,
    Row,
    RunId,
    SnapshotType,
    State,
    SubmissionId,
    TaskId,
    Tries,
    Vendor,
)

TENCENT_ID = FileId("1397757897438985100")
HUAWEI_ID = FileId("/record/pickrecord/command_record/clarechen_test/2024-11-13-06-10-48.mp4")
AT_1_AND_2_S = Parameters(Vendor.TENCENT, SnapshotType.BY_TIME_OFFSET, "10", "", ("1", "2"))
EVERY_2_S = Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "2")
TASK = TaskId("1500030200-procedurev2-afc1fe7dfe51cd88a5d588cacba53393tt0")
ACCEPTED = Answer(0, "success", "outer", "inner", TASK)


def claim_of(
    number: int = 1, tries: Tries | None = None, *, doubted: bool = False, code: int | None = None
) -> Claim:
    """A claim of submission 1."""
    return Claim(SubmissionId(1), TENCENT_ID, AT_1_AND_2_S, number, tries or Tries(), doubted, code)


def claims_of(*ids: int, tries: Tries | None = None) -> list[Claim]:
    """Claims of these submissions, before their first attempts."""
    return [Claim(SubmissionId(n), FileId(str(n)), AT_1_AND_2_S, 1, tries or Tries()) for n in ids]


def next_claim(claim: Claim, disposition: Disposition, run_id: RunId | None = None) -> Claim:
    """The claim as the ledger hands it out after an attempt."""
    return Claim(
        claim.id,
        claim.file_id,
        claim.parameters,
        claim.number + 1,
        disposition.tries,
        disposition.doubted,
        disposition.code,
        run_id,
    )


def rows_of(*numbers: int, asked: Parameters = AT_1_AND_2_S, extra: str | None = None) -> list[Row]:
    """Rows of a manifest, one for each number, which is also its line."""
    return [Row(n, FileId(str(n)), asked, extra) for n in numbers]


OPEN = (State.PENDING, State.SENDING)
Outcomes = list[Outcome]
