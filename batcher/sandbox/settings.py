"""Settings of the sandbox: one frozen value, checked once.

Where it stands: built by whoever starts a sandbox and passed down. Nothing here reads the environment or a
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from .faults import Fault, RequestSeen, checked_shares

SANDBOX_APP_ID = 1234567890
"""The AppId of the sandbox's one project."""

SANDBOX_SERVER_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - published, it guards nothing
"""The ServerSecret of that project: 32 characters like a real one, and nobody's."""


class Counting(StrEnum):
    """How the rate limit counts its second; the vendor documents the number only."""

    SLIDING = "sliding"
    """At most so many in any window of one second."""
    ALIGNED = "aligned"
    """At most so many in each whole second of the sandbox's monotonic clock."""
    BUCKET = "bucket"
    """A token bucket: so many at once, refilled at so many per second."""


class AnswerShape(StrEnum):
    """What `Data.Tencent` and `Data.Huawei` are; the vendor's page shows one and tells of the other."""

    OBJECT = "object"
    """A plain object, as in the page's example."""
    LIST = "list"
    """A list of one object, as in the page's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Everything that can be chosen about a sandbox.

    Raises:
        ValueError: one or more settings cannot be; the message names all of them.
    """

    app_id: int = SANDBOX_APP_ID
    server_secret: str = field(default=SANDBOX_SERVER_SECRET, repr=False)
    is_test: bool = False
    """The project is an old one in its test phase: every call must carry `IsTest=true`."""
    clock_offset_s: float = 0.0
    """How far the service's clock runs ahead of this machine's, for the check and the `Date` header."""

    rate_per_s: int | None = 20
    """The documented limit of MediaThumbnails; None or 0 switches it off."""
    counting: Counting = Counting.SLIDING
    count_refused: bool = False
    """Whether a call refused by the limit counts towards it."""
    throttle_code: int = 6
    """The `Code` of such a refusal; older tables of the vendor give 7."""
    account_code: int | None = None
    """Answer every call that passes the gateway and the limit with this `Code`, e.g. 3: not enabled."""

    jitter_ms: float = 0.0
    """Mean of an exponential delay put before each request, one by one, before it counts as arrived."""
    latency_ms: float = 0.0
    """Delay between the judgement and the answer."""
    keepalive_s: float = 75.0
    """How long an idle connection stays open."""

    answer_shape: AnswerShape = AnswerShape.OBJECT
    with_request_id: bool = True
    """Whether answers carry the outer `RequestId`, which the vendor's example lacks."""

    seed: int = 0
    """Seeds task ids, shares of faults, and jitter. Two sandboxes with one seed give the same task ids."""
    markers: bool = True
    """Whether the file ids of `markers` have their special meaning."""
    slow_ms: int = 3000
    """How late a file id marked as slow is answered."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Share of the requests with a FileId that meet each fault, e.g. `{"drop-after": 0.03}`."""
    script: Mapping[int, Fault] = field(default_factory=dict)
    """Fault of the nth MediaThumbnails request with a FileId, counted from 1."""
    by_file: Mapping[str, Fault | Sequence[Fault | None]] = field(default_factory=dict)
    """Fault of every request for a file id; or a sequence, one for each request, and none after its end."""
    choose: Callable[[RequestSeen], Fault | None] | None = None
    """Chooses a fault, or None to leave the choice to the other settings."""

    log_path: Path | None = None
    """File to which the truth log is appended, one JSON object a line."""
    keep_entries: int | None = None
    """Keep at least so many of the latest entries in memory, at most twice as many; None keeps all.

    An entry takes about 1.3 kB. Counts are exact whatever is kept.
    """

    def __post_init__(self) -> None:
        problems = [message for fault, message in self._faults_in_settings() if fault]
        try:
            checked_shares(self.shares)
        except ValueError as exc:
            problems.append(str(exc))
        if problems:
            raise ValueError("The sandbox cannot start like this:\n" + "\n".join(problems))

    def _faults_in_settings(self) -> list[tuple[bool, str]]:
        """Pair each rule's violation with what to do about it."""
        durations = (self.jitter_ms, self.latency_ms, self.slow_ms, self.keepalive_s)
        return [
            (not 0 < self.app_id < 2**32, f"app_id {self.app_id}: give a whole number from 1 to 4294967295."),
            (len(self.server_secret) != 32, "server_secret: give 32 characters."),
            ((self.rate_per_s or 0) < 0, f"rate_per_s {self.rate_per_s}: give 1 or more, or 0 for no limit."),
            (self.throttle_code == 0, "throttle_code 0: 0 means success. Give 6 or 7."),
            (self.account_code == 0, "account_code 0: 0 means success. Give e.g. 3, or None."),
            (min(durations) < 0, "jitter_ms, latency_ms, slow_ms and keepalive_s: give 0 or more."),
            (
                (self.keep_entries or 1) < 1,
                f"keep_entries {self.keep_entries}: give 1 or more, or None for all.",
            ),
            (self.seed < 0, f"seed {self.seed}: give 0 or more."),
            (any(n < 1 for n in self.script), "script: requests are counted from 1."),
        ]
