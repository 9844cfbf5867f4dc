"""A program that lists recordings and checks ids; mypy checks it, the library tests run it."""

from contextlib import aclosing
from datetime import datetime

from batcher import (
    Account,
    Archive,
    Discovery,
    DiscoveryFilter,
    DiscoveryProgress,
    IdVerification,
    KnownRecordings,
    Recording,
)


async def listed(
    account: Account, endpoint: str, since: datetime, resume_from: DiscoveryProgress | None = None
) -> tuple[list[Recording], DiscoveryProgress]:
    """Return the recordings and the point from which a later call resumes."""
    wanted = DiscoveryFilter(Archive.TENCENT, since=since, categories=("Video",))
    discovery = Discovery(wanted, account, endpoint=endpoint, rate_per_s=100.0, resume_from=resume_from)
    recordings: list[Recording] = []
    async with aclosing(discovery.pages()) as pages:
        async for page in pages:
            recordings.extend(page.recordings)
    return recordings, discovery.resume_from


async def suggestions(account: Account, endpoint: str, manifest: str, since: datetime) -> dict[str, str]:
    """Return the originals of rounded ids."""
    known = KnownRecordings(since=since)
    verification = IdVerification(manifest, account, known=known, endpoint=endpoint, rate_per_s=100.0)
    originals: dict[str, str] = {}
    async for faults in verification.faults():
        originals |= {fault.file_id: fault.suggestion for fault in faults if fault.suggestion}
    return originals
