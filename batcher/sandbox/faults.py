"""Faults: the ways in which an answer can go wrong, as values and as text.

Where it stands: the words of the sandbox. Settings carry faults, `plan` chooses one for a request,
`service` and `answers` carry it out. Nothing here does anything, and nothing here is drawn at random.

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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    FaultKind.CODE: Moment.REFUSAL,
}

# What the number after the colon means, for the kinds which need one.
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
        if len(rest) > 2 or not all(part.isascii() and part.isdigit() for part in rest):
            raise ValueError(f"fault {text!r}: {kind} takes {_NUMBERS.get(kind, 'nothing after its name')}.")
        return cls(kind, *(int(part) for part in rest))

    def __str__(self) -> str:
        parts = [str(self.kind), self.number, self.retry_after_s]
        return ":".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """A MediaThumbnails request with a FileId, as a fault chooser sees it on arrival."""

    number: int
    """Counts these requests from 1, in the order of their arrival."""
    nth_for_file: int
    """Counts the requests for this file id from 1."""
    file_id: str
    vendor: str
    type: str


def parse_shares(texts: Iterable[str]) -> dict[str, float]:
    """Read shares such as `drop-after=0.03`; the result is what `SandboxSettings.shares` takes.

    Raises:
        ValueError: a text is not FAULT=SHARE, or the shares are not between 0 and 1 together.
    """
    shares: dict[str, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or not 0 <= value <= 1:
            raise ValueError(f"share {text!r}: write FAULT=SHARE with a SHARE from 0 to 1, e.g. hang=0.03.")
        fault = str(Fault.parse(name))
        if fault in shares:
            raise ValueError(f"share {text!r}: {fault} is given twice. Give each fault one share.")
        shares[fault] = value
    checked_shares(shares)
    return shares


def checked_shares(shares: Mapping[str, float]) -> list[tuple[Fault, float]]:
    """Turn shares by text into shares by fault, in the order given.

    Raises:
        ValueError: a text names no fault, or the shares are not between 0 and 1, each and together.
    """
    pairs = [(Fault.parse(text), share) for text, share in shares.items()]
    # A little above 1 is the rounding of a sum such as 0.1 + 0.2 + 0.7.
    if not all(0 <= share <= 1 for _, share in pairs) or sum(share for _, share in pairs) > 1 + 1e-9:
        raise ValueError("shares of faults: each is from 0 to 1, and together they are at most 1.")
    return pairs


def _number_fits(kind: FaultKind, number: int | None) -> bool:
    """Say whether `number` is what `kind` needs."""
    match kind:
        case FaultKind.HTTP:
            return number is not None and (400 <= number <= 599 or number in REDIRECTS)
        case FaultKind.HTTP_AFTER:
            return number is not None and 500 <= number <= 599
        case FaultKind.CODE:
            return number is not None and number > 0
        case FaultKind.SLOW:
            return number is not None and number >= 0
        case _:
            return number is None
