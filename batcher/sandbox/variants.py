"""The variants of behaviour that a sandbox can be set to, mostly where the vendor's documents leave it open.

Chosen in `settings`, carried out by `rate_limit`, `responses`, `search_media`, `tasks` and `callbacks`.
"""

from __future__ import annotations

from enum import StrEnum


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


class PageNumbering(StrEnum):
    """From where SearchMedia counts Tencent's pages, which the vendor leaves open."""

    ZERO = "zero"
    """The first page is page 0, as the formula of the cap suggests."""
    ONE = "one"
    """The first page is page 1, and page 0 is `Code` 2."""
    ONE_LENIENT = "one-lenient"
    """The first page is page 1, and page 0 is the same."""


class WalkEnd(StrEnum):
    """How a walk by markers (Huawei, Ws) ends."""

    EMPTY_MARKER = "empty-marker"
    """The last page has an empty `NextMarker`."""
    SAME_MARKER = "same-marker"
    """The last page's `NextMarker` is the marker that was asked for."""
    EMPTY_PAGE = "empty-page"
    """The last page has a `NextMarker` like any other; the page after it is empty."""


class Fate(StrEnum):
    """What becomes of a task that was accepted."""

    FINISH = "finish"
    """It ends with pictures."""
    FAIL = "fail"
    """It ends with a message and no pictures."""
    CANCELED = "canceled"
    """It ends like that, as CANCELED where the vendor knows the word."""
    ENDLESS = "endless"
    """It is being processed for ever."""
    STUCK = "stuck"
    """It waits for ever."""
    FORGOTTEN = "forgotten"
    """The service does not know it any more."""


class CallbackBody(StrEnum):
    """The form of a callback's body."""

    JSON = "json"
    """JSON text."""
    URLENCODED = "urlencoded"
    """JSON text that must be URL-decoded first."""
    FORM = "form"
    """Fields of a form, as on older projects."""
