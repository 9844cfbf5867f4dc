"""Faults: the ways in which an answer can go wrong, as values and as text.

Where it stands: the words of the sandbox. Settings carry faults, `fault_plan` chooses one for a request,
`service` and `responses` carry it out. Nothing here does anything, and nothing here is drawn at random.
Callbacks and pictures have faults of their own, which are words alone.

A fault takes hold at one of three moments (`FaultKind.moment`):

* **front**: before everything, like a broken network or load balancer in front of the service. Nothing is
  checked, counted by the rate limit, or accepted.
* **refusal**: after the gateway's checks and the rate limit, before the parameters are looked at. Not
  accepted.
* **answer**: the request is judged as if there were no fault, so a good one is accepted and its task is in
  the truth log. Only the answer suffers. A request which the service refuses stays refused.

| text | moment | what the client meets |
|---|---|---|
| `drop-before` | front | the connection is closed without an answer |
| `hang-before` | front | no answer, until the client goes or the sandbox stops |
| `http:503`, `http:503:2` | front | that status with an HTML body; the second with `Retry-After: 2` |
| `html` | front | status 200 with an HTML body |
| `long-header` | front | status 200 with a header of 9,000 bytes, which clients refuse to read |
| `code:1000` | refusal | that `Code` |
| `drop-after` | answer | the connection is closed without an answer |
| `hang` | answer | no answer, until the client goes or the sandbox stops |
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
    """When a fault takes hold of a request."""

    FRONT = "front"
    """Before any check and before the request is counted."""
    REFUSAL = "refusal"
    """After the gateway and the rate limit, in place of the service's own judgement."""
    ANSWER = "answer"
    """After the service has judged and logged; only the answer suffers."""


class FaultKind(StrEnum):
    """What goes wrong; the value is the word used in texts such as `http:503:2`."""

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
        """When this kind takes hold."""
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
    """One thing that goes wrong with one request.

    `number` is the status of `http` and `http-after`, the code of `code`, the milliseconds of `slow`, and
    None for every other kind. `retry_after_s` belongs to `http` 429 and 503 only.

    Raises:
        ValueError: the parts do not make a fault; the message says what to write.
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
            ValueError: the text names no fault; the message says what to write.
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
    """A request that can meet a fault, as a fault chooser sees it on arrival.

    Of MediaThumbnails only requests with a FileId are such; of the other Actions all are.
    """

    number: int
    """Counts the requests of this Action from 1, in the order of their arrival."""
    nth_for_file: int
    """Counts the requests for this file id from 1."""
    file_id: str
    """For DescribeMediaTask the source of the task asked about; for SearchMedia empty."""
    vendor: str
    type: str
    action: str = "MediaThumbnails"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFaults:
    """The faults that requests of one Action meet: `choose` goes first, then `script`, `by_file`, `shares`.

    `by_file` of DescribeMediaTask goes by the source of the task; SearchMedia has none.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    """Share of the requests that meet each fault, e.g. `{"http:503": 0.1}`."""
    by_file: Mapping[str, Fault | Sequence[Fault | None]] = field(default_factory=dict)
    """Fault of every request for a file id; or a sequence, one for each request, and none after its end."""
    script: Mapping[int, Fault] = field(default_factory=dict)
    """Fault of the nth request, counted from 1."""
    choose: Callable[[RequestSeen], Fault | None] | None = None
    """Chooses a fault, or None to leave the choice to the other fields."""


class CallbackFault(StrEnum):
    """What goes wrong with one callback on purpose; the value is the word after `callback/`."""

    LOST = "lost"
    """Never sent."""
    DOUBLED = "doubled"
    """Sent twice at once, each time with a nonce and a signature of its own."""
    FORGED = "forged"
    """Signed with another secret."""
    REPLAYED = "replayed"
    """The same bytes come again after they were taken."""
    LATE = "late"
    """Rightly signed, with a timestamp of an hour ago."""
    WRONG_TASK = "wrong-task"
    """Rightly signed, about a task that nobody has started."""
    INVENTED = "invented"
    """Rightly signed, with pictures that no task has made: the signature does not cover the body."""


class PictureFault(StrEnum):
    """What goes wrong on purpose when a task's pictures are asked for."""

    MISSING = "missing"
    """Status 404."""
    BUSY = "busy"
    """Status 503 with `Retry-After: 1`."""
    CUT = "cut"
    """The connection closes in the middle."""
    BLACK = "black"
    """A whole picture, black all over."""
    WHITE = "white"
    """A whole picture, white all over."""
    HTML = "html"
    """Status 200 with a page instead of a picture."""
    ENDLESS = "endless"
    """Bytes without end, until the client goes."""
    REDIRECT = "redirect"
    """Status 302 to an address on another host."""


def _number_fits(kind: FaultKind, number: int | None) -> bool:
    """Say whether `number` is what `kind` needs."""
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
