"""What a run tells while it goes on: values, each with the words a person reads.

Made by what drives a run; shown, logged, counted or sent on by whoever listens. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from batcher.model.outcome import Decision
from batcher.model.submission import FileId, TaskId
from batcher.model.task import Effect, PictureState


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins to send."""

    event: ClassVar[str] = "run_started"
    run: int
    rate_per_s: float
    to_send: int
    asked: tuple[str, ...] = ()
    """What it will ask for, in words."""

    @property
    def words(self) -> str:
        """What it will ask for."""
        return "\n".join(self.asked)


@dataclass(frozen=True, slots=True)
class PaceChanged:
    """The pace, or why it is below the cap, is another than when it was last told."""

    event: ClassVar[str] = "pace_changed"
    pace_per_s: float
    cap_per_s: float
    why: str | None
    """None when it is at the cap again."""

    @property
    def words(self) -> str:
        """Nothing: a person sees that by the figures."""
        return ""


@dataclass(frozen=True, slots=True)
class SendingPaused:
    """Nothing is sent until something is known: an outage, or credentials in question."""

    event: ClassVar[str] = "waiting_began"
    why: str

    @property
    def words(self) -> str:
        """Why."""
        return self.why[:1].upper() + self.why[1:] + "."


@dataclass(frozen=True, slots=True)
class OutageBegan(SendingPaused):
    """The endpoint does not answer."""

    event: ClassVar[str] = "outage_began"


@dataclass(frozen=True, slots=True)
class OutageOver:
    """The endpoint answers again."""

    event: ClassVar[str] = "outage_over"
    seconds: float

    @property
    def words(self) -> str:
        """How long it took."""
        return f"The endpoint answers again, after {self.seconds:.0f} s."


@dataclass(frozen=True, slots=True)
class Halted:
    """The run stops sending, since going on would be wrong."""

    event: ClassVar[str] = "halted"
    reason: str

    @property
    def words(self) -> str:
        """Nothing: the closing summary begins with it."""
        return ""


@dataclass(frozen=True, slots=True)
class DefectMet:
    """An exception that nothing expects has stopped the run."""

    event: ClassVar[str] = "defect"
    error: str
    place: str
    """File and line."""
    exception: str
    """The traceback: it may hold anything, and is only for people who ask for it."""

    @property
    def words(self) -> str:
        """Nothing: the closing summary begins with it."""
        return ""


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
        """What came back, and what was decided."""
        return f"{self.file_id}: {self.said} → {self.decision}"


@dataclass(frozen=True, slots=True)
class Rejected(NotSubmitted):
    """A submission that ended with a definite no."""

    event: ClassVar[str] = "submission_rejected"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A manifest held what is no row."""

    event: ClassVar[str] = "passed_over"
    source: str
    met: str

    @property
    def words(self) -> str:
        """What it was."""
        return f"{self.source}: passed over, no new recordings: {self.met}"


@dataclass(frozen=True, slots=True)
class CallbackTaken:
    """A callback is on record."""

    event: ClassVar[str] = "callback_taken"
    callback: str
    """What the service calls its event."""
    effect: Effect
    again: bool
    """It had come before."""
    task_id: TaskId | None = None
    file_id: FileId | None = None

    @property
    def words(self) -> str:
        """What it was about, and what came of it."""
        named = [f"task {self.task_id}"] if self.task_id else []
        named += [f"recording {self.file_id}"] if self.file_id else []
        return f"{self.callback}, {', '.join(named) or 'nothing named'}: {self.effect}" + (
            ", had come before" if self.again else ""
        )


@dataclass(frozen=True, slots=True)
class CallbackRefused:
    """Something was sent to us that was not taken."""

    event: ClassVar[str] = "callback_refused"
    why: str
    http_status: int
    peer: str | None

    @property
    def words(self) -> str:
        """From where, and why."""
        return f"refused a callback from {self.peer or 'somebody'} with {self.http_status}: {self.why}"


@dataclass(frozen=True, slots=True)
class ClaimChecked:
    """The service was asked about a task that a callback had named for a submission in doubt."""

    event: ClassVar[str] = "claim_checked"
    task_id: TaskId
    effect: Effect

    @property
    def words(self) -> str:
        """What came of it."""
        return f"task {self.task_id}, named for a submission in doubt: {self.effect}"


@dataclass(frozen=True, slots=True)
class LedgerHeld:
    """Another program has locked the ledger's file; it is waited for, and nothing is lost meanwhile."""

    event: ClassVar[str] = "ledger_held"
    ledger: str

    @property
    def words(self) -> str:
        """Which ledger, and what happens now."""
        return f"{self.ledger}: another program has locked the file; waiting until it is free."


@dataclass(frozen=True, slots=True)
class WarningRaised:
    """A condition that does not stop the work and that the user should know."""

    event: ClassVar[str] = "warning"
    text: str

    @property
    def words(self) -> str:
        """The warning."""
        return self.text


@dataclass(frozen=True, slots=True)
class LedgerCreated:
    """A new ledger was created."""

    event: ClassVar[str] = "ledger_created"
    text: str
    """Where, and what that means when an earlier ledger was deleted."""

    @property
    def words(self) -> str:
        """The same text."""
        return self.text


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

    @property
    def words(self) -> str:
        """Nothing: a display draws the figures."""
        return ""


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
    RunStarted
    | PaceChanged
    | SendingPaused
    | OutageBegan
    | OutageOver
    | Halted
    | DefectMet
    | NotSubmitted
    | Rejected
    | PassedOver
    | CallbackTaken
    | CallbackRefused
    | ClaimChecked
    | LedgerHeld
    | WarningRaised
    | LedgerCreated
    | ListeningStarted
    | MalformedRequest
    | FetchProgress
    | PictureNotFetched
)

OnEvent = Callable[[Event], None]
"""Called with each notice, in the run's own thread; must not block."""


def ignore_event(_: Event) -> None:
    """Tell nobody."""
