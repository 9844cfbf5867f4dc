"""Events of a run: values, each with a stable name for programs and words for the user.

Emitted by the runner and its parts, by the receiver of callbacks and by the ledger; consumed by the console,
by log lines and by programs that pass ``on_event``. The names in ``event`` and the names of fields are those
of JSON log lines: scripts match them, so they must not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from batcher.model.durations import at_least_a_second
from batcher.model.outcome import Decision
from batcher.model.submission import FileId, State, SubmissionId, TaskId
from batcher.model.task import Effect, PictureState, TaskState


class Severity(Enum):
    """The importance of a message."""

    INFO = "info"
    """An action that was taken; a quiet program leaves it out."""
    NOTICE = "notice"
    """A fact that is shown even where only problems are wanted, such as the creation of a ledger."""
    WARNING = "warning"
    """A possible mistake."""
    PROBLEM = "problem"
    """A mistake or a failure."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the user that needs no class of its own: a warning, a wait, a new ledger."""

    event: ClassVar[str] = "message"
    words: str
    severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins to send."""

    event: ClassVar[str] = "run_started"
    run: int
    rate_per_s: float
    to_send: int
    asked: tuple[str, ...] = ()
    """The pictures that the run will ask for, in words."""

    @property
    def words(self) -> str:
        """The lines that say what the run will ask for."""
        return "\n".join(self.asked)


@dataclass(frozen=True, slots=True)
class PaceChanged:
    """The pace, or the reason why it is below the cap, has changed."""

    event: ClassVar[str] = "pace_changed"
    words: ClassVar[str] = ""
    """Nothing: the progress display shows it."""
    pace_per_s: float
    cap_per_s: float
    why: str | None
    """None when it is at the cap again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: emitted about once a second while it sends, and once at its end."""

    event: ClassVar[str] = "progress"
    total: int
    """All submissions of the ledger."""
    states: Mapping[State, int]
    """The number of submissions in each state."""
    sent: int
    """Requests of this run that may have left."""
    now_per_s: float
    """Requests per second, over the last ten seconds."""
    pace_per_s: float
    """The pace that the pacer allows now."""
    cap_per_s: float
    why_slow: str | None
    """Why the pace is below the cap; None when it is not."""
    seconds: float
    """Since the run began to send."""
    seconds_left: float | None
    """The time that the rest takes at the rate of this run; None while that is unknown, as in an outage."""
    paused: bool
    """Nothing is sent at all for now, for the reason that ``why_slow`` gives."""

    @property
    def ended(self) -> int:
        """The number of submissions that are neither to be sent nor in flight."""
        return self.total - self.states.get(State.PENDING, 0) - self.states.get(State.SENDING, 0)

    @property
    def words(self) -> str:
        """The number of submissions that have ended."""
        return f"{self.ended:,} of {self.total:,}"


@dataclass(frozen=True, slots=True)
class SendingPaused:
    """Sending pauses until a probe has an answer: during an outage, or while credentials are in doubt."""

    event: ClassVar[str] = "waiting_began"
    why: str

    @property
    def words(self) -> str:
        """Why sending pauses."""
        return self.why[:1].upper() + self.why[1:] + "."


@dataclass(frozen=True, slots=True)
class OutageBegan(SendingPaused):
    """The endpoint does not answer; sending pauses until it does."""

    event: ClassVar[str] = "outage_began"


@dataclass(frozen=True, slots=True)
class OutageOver:
    """The endpoint answers again."""

    event: ClassVar[str] = "outage_over"
    seconds: float

    @property
    def words(self) -> str:
        """The end of the outage, and how long it took."""
        return f"The endpoint answers again, after {at_least_a_second(self.seconds)}."


@dataclass(frozen=True, slots=True)
class Halted:
    """The run stops sending: the service refuses the account, too much failed, or batcher has a defect."""

    event: ClassVar[str] = "halted"
    words: ClassVar[str] = ""
    """Nothing: the closing summary begins with the reason."""
    reason: str


@dataclass(frozen=True, slots=True)
class DefectMet:
    """An unexpected exception has stopped the run."""

    event: ClassVar[str] = "defect"
    words: ClassVar[str] = ""
    """Nothing: the closing summary begins with the reason."""
    error: str
    place: str
    """File and line."""
    exception: str
    """The traceback. It may hold anything, and is shown only under ``-v``."""


@dataclass(frozen=True, slots=True)
class TrackingProgress:
    """The progress of tracking: emitted about once a second while tasks are polled."""

    event: ClassVar[str] = "tracking_progress"
    total: int
    """All tasks of the ledger."""
    states: Mapping[TaskState, int]
    """The number of tasks in each state."""
    ended: int
    polls: int
    """Requests that may have left."""
    now_per_s: float
    """Polls per second, over the last ten seconds."""
    pace_per_s: float
    """The pace that the pacer allows now."""
    cap_per_s: float
    why_slow: str | None
    """Why the pace is below the cap; None when it is not."""
    sending: bool
    """A run of the same process still submits."""

    @property
    def words(self) -> str:
        """The number of tasks that have ended."""
        return f"tasks: {self.ended:,} of {self.total:,} have ended"


@dataclass(frozen=True, slots=True)
class Submitted:
    """An attempt brought a task id."""

    event: ClassVar[str] = "submitted"
    submission_id: SubmissionId
    file_id: FileId
    task_id: TaskId

    @property
    def words(self) -> str:
        """The recording and its task."""
        return f"{self.file_id}: task {self.task_id}"


@dataclass(frozen=True, slots=True)
class NotSubmitted:
    """An attempt that brought no task id."""

    event: ClassVar[str] = "attempt_without_task"
    file_id: FileId
    decision: Decision
    said: str
    """The code and its message, or what happened instead of an answer."""
    code: int | None = None
    request_id: str | None = None

    @property
    def words(self) -> str:
        """The outcome, and the decision."""
        return f"{self.file_id}: {self.said} → {self.decision}"


@dataclass(frozen=True, slots=True)
class Rejected(NotSubmitted):
    """A submission that the service has rejected for good."""

    event: ClassVar[str] = "submission_rejected"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A manifest held records that are not rows, such as callbacks about tasks."""

    event: ClassVar[str] = "passed_over"
    source: str
    met: str

    @property
    def words(self) -> str:
        """The kind of the records."""
        return f"{self.source}: passed over, no new recordings: {self.met}"


@dataclass(frozen=True, slots=True)
class CallbackTaken:
    """A callback is on record."""

    event: ClassVar[str] = "callback_taken"
    callback: str
    """The service's name for the event of the callback."""
    effect: Effect
    again: bool
    """The same callback was received before."""
    task_id: TaskId | None = None
    file_id: FileId | None = None

    @property
    def words(self) -> str:
        """The task or recording that it names, and its effect."""
        named = [f"task {self.task_id}"] if self.task_id else []
        named += [f"recording {self.file_id}"] if self.file_id else []
        return f"{self.callback}, {', '.join(named) or 'nothing named'}: {self.effect}" + (
            ", received before" if self.again else ""
        )


@dataclass(frozen=True, slots=True)
class CallbackRefused:
    """A request to the receiver of callbacks was refused."""

    event: ClassVar[str] = "callback_refused"
    why: str
    http_status: int
    peer: str | None

    @property
    def words(self) -> str:
        """The sender, and why it was refused."""
        return f"refused a callback from {self.peer or 'an unknown peer'} with {self.http_status}: {self.why}"


@dataclass(frozen=True, slots=True)
class ClaimChecked:
    """A poll has checked a task that a callback named for a submission in doubt."""

    event: ClassVar[str] = "claim_checked"
    task_id: TaskId
    effect: Effect

    @property
    def words(self) -> str:
        """The task and the effect."""
        return f"task {self.task_id}, named for a submission in doubt: {self.effect}"


@dataclass(frozen=True, slots=True)
class LedgerHeld:
    """Another program has locked the ledger's file. Writing waits for it, and nothing is lost."""

    event: ClassVar[str] = "ledger_held"
    ledger: str

    @property
    def words(self) -> str:
        """The ledger, and what happens now."""
        return f"{self.ledger}: another program has locked the file; waiting until it is free."


@dataclass(frozen=True, slots=True)
class ListeningStarted:
    """The receiver of callbacks accepts connections."""

    event: ClassVar[str] = "listening_started"
    url: str
    """Where callbacks are accepted."""
    health_url: str
    confirms: bool
    """Whether claims are confirmed by polls; that needs an account."""
    unprotected: bool
    """Whether other machines can connect without TLS."""
    not_submitted: tuple[str, ...] = ()
    """For each vendor whose recordings cannot become submissions: its name and what is missing."""

    @property
    def words(self) -> str:
        """The two addresses."""
        return f"Listening for callbacks: {self.url} (health: {self.health_url})"


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """A request to the receiver of callbacks was not HTTP; there can be any number of them."""

    event: ClassVar[str] = "malformed_request"

    @property
    def words(self) -> str:
        """The reason for which it was refused."""
        return "it is not HTTP"


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """The progress of a fetch, about once a second and at its end."""

    event: ClassVar[str] = "fetch_progress"
    words: ClassVar[str] = ""
    """Nothing: a display draws the figures."""
    total: int
    """Pictures to fetch, as far as they are known."""
    by_state: Mapping[PictureState, int]
    left: int
    """Pictures that were tried and are left for a later fetch."""
    n_bytes: int
    seconds: float
    """Since the fetch began."""

    @property
    def ended(self) -> int:
        """Pictures that this fetch is done with."""
        return sum(self.by_state.values()) + self.left


@dataclass(frozen=True, slots=True)
class PictureNotFetched:
    """A picture was given up, or left for a later fetch."""

    event: ClassVar[str] = "picture_not_fetched"
    file_id: FileId
    number: int
    state: PictureState | None
    """None when it is left for a later fetch."""
    reason: str | None

    @property
    def words(self) -> str:
        """Which picture, and the reason."""
        state = self.state.value if self.state else "left"
        return f"{self.file_id}, picture {self.number}: {state}, {self.reason}"


Event = (
    Message
    | RunStarted
    | PaceChanged
    | Progress
    | TrackingProgress
    | SendingPaused
    | OutageBegan
    | OutageOver
    | Halted
    | DefectMet
    | Submitted
    | NotSubmitted
    | Rejected
    | PassedOver
    | CallbackTaken
    | CallbackRefused
    | ClaimChecked
    | LedgerHeld
    | ListeningStarted
    | MalformedRequest
    | FetchProgress
    | PictureNotFetched
)

OnEvent = Callable[[Event], None]
"""Called with each event, in the event loop of the run; must not block."""


def ignore_event(_: Event) -> None:
    """Do nothing with an event."""
