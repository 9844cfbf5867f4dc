"""Faults of answers, as values and as text.

Settings hold faults, `fault_plan` chooses one for a request, `service` and `responses` carry it out.
Callbacks and pictures have their own kinds of faults. The texts are public: they are values of `batcher
sandbox --fault`.

A fault takes effect at one of three moments (`FaultKind.moment`):

* **front**: before everything, like a broken network or load balancer in front of the service. Nothing is
  checked, counted by the rate limit, or accepted.
* **refusal**: after the gateway's checks and the rate limit, before the parameters are checked. Not
  accepted.
* **answer**: the request is judged as if there were no fault, so a good one is accepted and its task is in
  the log. Only the answer is affected. A request which the service refuses stays refused.

| text | moment | the answer |
|---|---|---|
| `drop-before` | front | the connection is closed without an answer |
| `hang-before` | front | no answer, until the client disconnects or the sandbox stops |
| `http:503`, `http:503:2` | front | that status with an HTML body; the second with `Retry-After: 2` |
| `html` | front | status 200 with an HTML body |
| `long-header` | front | status 200 with a header of 9,000 bytes, which clients refuse |
| `code:1000` | refusal | that `Code` |
| `drop-after` | answer | the connection is closed without an answer |
| `hang` | answer | no answer, until the client disconnects or the sandbox stops |
| `http-after:502` | answer | that 5xx status with an HTML body |
| `cut` | answer | the connection is closed in the middle of the body |
| `cut-json` | answer | a complete HTTP answer with half of the JSON text |
| `empty` | answer | status 200 and no body |
| `no-code` | answer | the JSON without `Code` |
| `no-task-id` | answer | `Code` 0 without `Data` |
| `slow:1500` | answer | the right answer, that many milliseconds late |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

REDIRECTS = (301, 302, 303, 307, 308)


class Moment(Enum):
    """The moment at which a fault takes effect."""

    FRONT = "front"
    """Before any check and before the request is counted."""
    REFUSAL = "refusal"
    """After the gateway and the rate limit, instead of the service's own judgement."""
    ANSWER = "answer"
    """After the service has judged and logged; only the answer is affected."""


class FaultKind(StrEnum):
    """The kind of a fault; the value is the word in texts such as `http:503:2`."""

    DROP_BEFORE = "drop-before"
    """Closed without an answer, not accepted."""
    HANG_BEFORE = "hang-before"
    """Never answered, not accepted."""
    HTTP = "http"
    """An HTTP error status with an HTML body, not accepted."""
    HTML = "html"
    """Status 200 with an HTML body, not accepted."""
    LONG_HEADER = "long-header"
    """Status 200 with a header that is too large, not accepted."""
    CODE = "code"
    """A `Code` of the service's table, not accepted."""
    DROP_AFTER = "drop-after"
    """Accepted, then closed without an answer."""
    HANG = "hang"
    """Accepted, never answered."""
    HTTP_AFTER = "http-after"
    """Accepted, answered with a 5xx status."""
    CUT = "cut"
    """Accepted, the connection closes in the middle of the body."""
    CUT_JSON = "cut-json"
    """Accepted, the JSON text ends in the middle."""
    EMPTY = "empty"
    """Accepted, the body is empty."""
    NO_CODE = "no-code"
    """Accepted, the JSON has no `Code`."""
    NO_TASK_ID = "no-task-id"
    """Accepted, `Code` 0 without `Data`."""
    SLOW = "slow"
    """Accepted, answered late."""

    @property
    def moment(self) -> Moment:
        """The moment at which this kind takes effect."""
        return _MOMENTS.get(self, Moment.ANSWER)


_MOMENTS = {
    FaultKind.DROP_BEFORE: Moment.FRONT,
    FaultKind.HANG_BEFORE: Moment.FRONT,
    FaultKind.HTTP: Moment.FRONT,
    FaultKind.HTML: Moment.FRONT,
    FaultKind.LONG_HEADER: Moment.FRONT,
    FaultKind.CODE: Moment.REFUSAL,
}

# What the number after the colon means, for the kinds which need one.
_WHOLE = re.compile(r"-?[0-9]+")

_NUMBERS = {
    FaultKind.HTTP: "an HTTP error status (400 to 599) or a redirect, e.g. http:503",
    FaultKind.HTTP_AFTER: "an HTTP status from 500 to 599, e.g. http-after:502",
    FaultKind.CODE: "a code of the service other than 0, e.g. code:1000",
    FaultKind.SLOW: "milliseconds, e.g. slow:1500",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one request.

    `number` is the status of `http` and `http-after`, the code of `code`, the milliseconds of `slow`, and
    None for every other kind. `retry_after_s` is for `http` 429 and 503 only.

    Raises:
        ValueError: the parts are not a valid fault; the message contains the remedy.
    """

    kind: FaultKind
    number: int | None = None
    retry_after_s: int | None = None

    def __post_init__(self) -> None:
        if not _number_fits(self.kind, self.number):
            expected = _NUMBERS.get(self.kind, "nothing after its name")
            raise ValueError(f"fault {self}: {self.kind} takes {expected}.")
        if self.retry_after_s is None:
            return
        if self.kind is not FaultKind.HTTP or self.number not in (429, 503) or self.retry_after_s < 0:
            raise ValueError(f"fault {self}: only http:429 and http:503 take seconds, e.g. http:503:2.")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read one fault from its text, such as `drop-after`, `code:1000` or `http:503:2`.

        Raises:
            ValueError: the text is not a fault; the message contains the remedy.
        """
        word, *rest = text.strip().split(":")
        if word not in tuple(FaultKind):
            raise ValueError(f"fault {text!r}: no such kind. The kinds are {', '.join(FaultKind)}.")
        kind = FaultKind(word)
        if len(rest) > 2 or not all(_WHOLE.fullmatch(part) for part in rest):
            raise ValueError(f"fault {text!r}: {kind} takes {_NUMBERS.get(kind, 'nothing after its name')}.")
        return cls(kind, *(int(part) for part in rest))

    def __str__(self) -> str:
        parts = [str(self.kind), self.number, self.retry_after_s]
        return ":".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """A request that may get a fault, as a fault chooser receives it on arrival.

    Of MediaThumbnails these are the requests with a FileId; of the other Actions, all requests.
    """

    number: int
    """The number of the request, counted for each Action from 1 in the order of arrival."""
    nth_for_file: int
    """The number of the request for this file id, from 1."""
    file_id: str
    """For DescribeMediaTask the file id of the task; for SearchMedia empty."""
    vendor: str
    type: str
    action: str = "MediaThumbnails"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFaults:
    """The faults of one Action's requests, in this order: `choose`, `script`, `by_file`, `shares`.

    `by_file` of DescribeMediaTask uses the file id of the task; SearchMedia has none.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    """The share of requests with each fault, e.g. `{"http:503": 0.1}`."""
    by_file: Mapping[str, Fault | Sequence[Fault | None]] = field(default_factory=dict)
    """The fault of every request for a file id; or a sequence, one per request, none after its end."""
    script: Mapping[int, Fault] = field(default_factory=dict)
    """The fault of the nth request, counted from 1."""
    choose: Callable[[RequestSeen], Fault | None] | None = None
    """Chooses a fault; None leaves the choice to the other fields."""


class CallbackFault(StrEnum):
    """The fault of one callback; the value is the word after `callback/`."""

    LOST = "lost"
    """Never sent."""
    DOUBLED = "doubled"
    """Sent twice concurrently, each time with its own nonce and signature."""
    FORGED = "forged"
    """Signed with another secret."""
    REPLAYED = "replayed"
    """The same bytes are sent again after they were accepted."""
    LATE = "late"
    """Correctly signed, with a timestamp of an hour ago."""
    WRONG_TASK = "wrong-task"
    """Correctly signed, about a task that was never started."""
    INVENTED = "invented"
    """Correctly signed, with pictures that no task has made: the signature does not cover the body."""


class PictureFault(StrEnum):
    """The fault of requests for a task's pictures."""

    MISSING = "missing"
    """Status 404."""
    BUSY = "busy"
    """Status 503 with `Retry-After: 1`."""
    CUT = "cut"
    """The connection closes in the middle."""
    BLACK = "black"
    """A valid picture, completely black."""
    WHITE = "white"
    """A valid picture, completely white."""
    HTML = "html"
    """Status 200 with a page instead of a picture."""
    ENDLESS = "endless"
    """Endless bytes, until the client disconnects."""
    REDIRECT = "redirect"
    """Status 302 to an address on another host."""


def _number_fits(kind: FaultKind, number: int | None) -> bool:
    """Return whether `number` is what `kind` needs."""
    match kind:
        case FaultKind.HTTP:
            return number is not None and (400 <= number <= 599 or number in REDIRECTS)
        case FaultKind.HTTP_AFTER:
            return number is not None and 500 <= number <= 599
        case FaultKind.CODE:
            return number not in (None, 0)
        case FaultKind.SLOW:
            return number is not None and number >= 0
        case _:
            return number is None
