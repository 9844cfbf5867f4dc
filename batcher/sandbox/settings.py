"""The settings of the sandbox: one frozen value, checked once.

Built by tests and by `batcher sandbox`, passed down to every part. Nothing here reads the environment or a
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

from .fault_shares import checked_shares, checked_sum
from .faults import ActionFaults, CallbackFault, PictureFault
from .variants import AnswerShape, CallbackBody, Counting, Fate, PageNumbering, WalkEnd

SANDBOX_APP_ID = 1234567890
"""The AppId of the sandbox's one project."""

SANDBOX_SERVER_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - published, it guards nothing
"""The ServerSecret of that project: 32 characters like a real one, and published."""

SANDBOX_CALLBACK_SECRET = "fedcba9876543210fedcba9876543210"  # noqa: S105 - published, it guards nothing
"""The callback secret of that project, which is not its ServerSecret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """The recordings by rule, for SearchMedia.

    Raises:
        ValueError: one or more settings are invalid.
    """

    count: int = 0
    span_s: float = 30 * 86400.0
    """The time before `until_s` over which their creation is spread."""
    until_s: int | None = None
    """Unix seconds of the newest; None means the time at which the sandbox is created."""
    crowd: int = 0
    """This many of them, from the middle on, are created in the same second."""
    arriving: int = 0
    """This many new ones, created at `until_s`, appear after each answer of SearchMedia."""
    pages: PageNumbering = PageNumbering.ZERO
    walk_end: WalkEnd = WalkEnd.EMPTY_MARKER
    end_included: bool = True
    """Whether a recording created in the second of `EndTime` is among those before it."""

    def __post_init__(self) -> None:
        if min(self.count, self.crowd, self.arriving) < 0:
            raise ValueError("recordings: give 0 or more for count, crowd and arriving.")
        if not 0 <= self.span_s <= LONGEST_SPAN_S:
            raise ValueError("recordings: give a span of 0 to 18,250 days.")
        if self.count + self.arriving > MOST_RECORDINGS:
            raise ValueError(f"recordings: give {MOST_RECORDINGS:,} or fewer.")
        if self.crowd > self.count:
            raise ValueError(f"recordings: a crowd of {self.crowd} is larger than the count {self.count}.")


MOST_RECORDINGS = 100_000_000
LONGEST_SPAN_S = 18_250 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """The course of accepted tasks, for DescribeMediaTask and the callbacks.

    Raises:
        ValueError: one or more settings are invalid.
    """

    time_s: float = 0.0
    """Seconds from acceptance to the end: a quarter waiting, then processing. 0 ends immediately."""
    fail_share: float = 0.0
    endless_share: float = 0.0
    forgotten_share: float = 0.0
    fates: Mapping[str, Fate] = field(default_factory=dict)
    """By file id; outranks markers and shares."""
    messages: Mapping[str, str] = field(default_factory=dict)
    """The service's message about a failed task, by file id."""
    urls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Addresses (Huawei: object names) that are reported instead of the true ones, by file id."""
    unknown_code: int = 1000
    """Tencent's `Code` for an unknown task; with 0 its `Data` is empty."""
    sample_interval_s: float = 10.0
    """Seconds between samples of every Definition, where the interval has no effect."""
    most_pictures: int = 1000
    """The most pictures of a task."""
    keep: int = 1_000_000
    """The most tasks that are kept; the oldest beyond it are forgotten."""

    def __post_init__(self) -> None:
        checked_sum((self.fail_share, self.endless_share, self.forgotten_share))
        if not 0 <= self.time_s < inf or not 0 < self.sample_interval_s < inf:
            raise ValueError("tasks: give a time of 0 s or more, and a sample interval above 0 s.")
        if min(self.most_pictures, self.keep) < 1:
            raise ValueError("tasks: give 1 or more for most_pictures and keep.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """The address and the form of callbacks.

    Raises:
        ValueError: one or more settings are invalid.
    """

    url: str | None = None
    """A receiver on this machine; None: no callbacks until `Sandbox.callback_url` is set."""
    secret: str = field(default=SANDBOX_CALLBACK_SECRET, repr=False)
    body: CallbackBody = CallbackBody.JSON
    schedule_s: Sequence[float] = (2, 4, 8, 16, 32)
    """Seconds before each retry, on the clock of the tasks. Source: service documentation, callbacks."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """The share of callbacks with each fault, e.g. `{"lost": 0.1}`."""
    by_file: Mapping[str, CallbackFault] = field(default_factory=dict)
    """The fault of every callback about a file id."""

    def __post_init__(self) -> None:
        if self.url is not None:
            checked_receiver(self.url)
        checked_sum(self.shares.values())
        if unknown := [name for name in self.shares if name not in tuple(CallbackFault)]:
            raise ValueError(
                f"callbacks: unknown fault {unknown[0]!r}. The faults are {', '.join(CallbackFault)}."
            )
        if not self.secret or not all(0 <= pause < inf for pause in self.schedule_s):
            raise ValueError("callbacks: give a secret that is not empty, and pauses of 0 or more.")


def checked_receiver(url: str) -> str:
    """Return the address if it is an http or https address of this machine.

    Raises:
        ValueError: it is another address, to which the sandbox never connects.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        parts, loopback = urlsplit(""), False
    if not loopback or parts.scheme not in ("http", "https"):
        raise ValueError(
            f"callback url {url!r}: give an http address of this machine, e.g. http://127.0.0.1:8421/callback."
        )
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings(ActionFaults):
    """All settings of a sandbox; its own faults are those of MediaThumbnails requests with a FileId.

    Raises:
        ValueError: one or more settings are invalid; the message names all of them.
    """

    app_id: int = SANDBOX_APP_ID
    server_secret: str = field(default=SANDBOX_SERVER_SECRET, repr=False)
    is_test: bool = False
    """The project is an old one in its test phase: every call must carry `IsTest=true`."""
    clock_offset_s: float = 0.0
    """Seconds by which the service's clock is ahead of this machine's, for the check and the `Date`
    header."""

    rate_per_s: int | None = 20
    """The documented limit of each Action, counted for each separately; None or 0 means no limit."""
    counting: Counting = Counting.SLIDING
    count_refused: bool = False
    """Whether a call refused by the limit counts towards the limit."""
    throttle_code: int = 6
    """The `Code` of such a refusal; older tables of the vendor list 7."""
    account_code: int | None = None
    """Answer every call that passes the gateway and the limit with this `Code`, e.g. 3: not enabled."""

    jitter_ms: float = 0.0
    """Mean of an exponential delay before each request counts as arrived."""
    latency_ms: float = 0.0
    """Delay between judgement and answer."""
    keepalive_s: float = 75.0
    """Seconds for which an idle connection stays open."""

    answer_shape: AnswerShape = AnswerShape.OBJECT
    with_request_id: bool = True
    """Whether answers carry the outer `RequestId`, which the vendor's example lacks."""

    seed: int = 0
    """The seed of task ids, file ids, shares and jitter. Two sandboxes with one seed produce the same task
    ids."""
    markers: bool = True
    """Whether the file ids of `magic_ids` have their special meaning."""
    slow_ms: int = 3000
    """The delay of answers about a file id marked as slow."""

    faults: Mapping[str, ActionFaults] = field(default_factory=dict)
    """The faults of `SearchMedia` and `DescribeMediaTask`."""

    recordings: RecordingSettings = RecordingSettings()
    media: Path | None = None
    """A folder whose files are the recordings, instead of made-up ones; needs PyAV and Pillow."""
    tasks: TaskSettings = TaskSettings()
    callbacks: CallbackSettings = CallbackSettings()
    picture_faults: Mapping[str, PictureFault] = field(default_factory=dict)
    """The faults of pictures, by file id."""

    log_path: Path | None = None
    """The file to which the log is appended, one JSON object per line."""
    keep_entries: int | None = None
    """The number of latest entries that are kept in memory, at most twice as many; None keeps all.

    An entry takes about 1.3 kB. Counts are exact in every case.
    """

    def __post_init__(self) -> None:
        problems = [message for fault, message in self._faults_in_settings() if fault]
        for faults in (self, *self.faults.values()):
            try:
                checked_shares(faults.shares)
            except ValueError as exc:
                problems.append(str(exc))
        if problems:
            raise ValueError("The sandbox cannot start with these settings:\n" + "\n".join(problems))

    def _faults_in_settings(self) -> list[tuple[bool, str]]:
        """Return each rule, whether it is violated, and its remedy."""
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
            (
                any(n < 1 for faults in (self, *self.faults.values()) for n in faults.script),
                "script: requests are counted from 1.",
            ),
            (
                not set(self.faults) <= {"SearchMedia", "DescribeMediaTask"},
                "faults: give faults of SearchMedia or DescribeMediaTask.",
            ),
            (
                self.media is not None and self.recordings.count > 0,
                "media and recordings: give one of them, not both.",
            ),
        ]
