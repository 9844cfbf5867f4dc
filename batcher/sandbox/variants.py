"""The variants of behaviour that a sandbox can be set to, mostly where the vendor's documents leave it open.

Chosen in `settings`, carried out by `rate_limit`, `responses`, `search_media`, `tasks` and `callbacks`.
"""

from __future__ import annotations

from enum import StrEnum


class Counting(StrEnum):
    """The way in which the rate limit counts its second; the vendor documents only the number."""

    SLIDING = "sliding"
    """At most the limit in any window of one second."""
    ALIGNED = "aligned"
    """At most the limit in each whole second of the sandbox's monotonic clock."""
    BUCKET = "bucket"
    """A token bucket with the limit as its capacity and its refill per second."""


class AnswerShape(StrEnum):
    """The form of `Data.Tencent` and `Data.Huawei`; the vendor's page shows both."""

    OBJECT = "object"
    """A plain object, as in the page's example."""
    LIST = "list"
    """A list of one object, as in the page's table."""
    SECOND = "second"
    """A list of two objects, of which the second has the answer."""


class PageNumbering(StrEnum):
    """The number of Tencent's first page in SearchMedia, which the vendor does not define."""

    ZERO = "zero"
    """The first page is page 0, as the formula of the cap suggests."""
    ONE = "one"
    """The first page is page 1, and page 0 is `Code` 2."""
    ONE_LENIENT = "one-lenient"
    """The first page is page 1, and page 0 is the same page."""


class WalkEnd(StrEnum):
    """The end of a walk by markers (Huawei, Ws)."""

    EMPTY_MARKER = "empty-marker"
    """The last page has a `NextMarker` like any other; the next page is empty."""
    SAME_MARKER = "same-marker"
    """The last page's `NextMarker` repeats the marker of the query."""
    EMPTY_PAGE = "empty-page"
    """The last page has a `NextMarker` like any other; the next page is empty."""


class Fate(StrEnum):
    """The course of an accepted task."""

    FINISH = "finish"
    """The task finishes with pictures."""
    FAIL = "fail"
    """The task fails with a message and without pictures."""
    CANCELED = "canceled"
    """The task fails, as CANCELED where the vendor has that word."""
    ENDLESS = "endless"
    """The task stays in processing forever."""
    STUCK = "stuck"
    """The task stays in waiting forever."""
    FORGOTTEN = "forgotten"
    """The service no longer knows it."""


class CallbackBody(StrEnum):
    """The form of a callback's body."""

    JSON = "json"
    """JSON text."""
    URLENCODED = "urlencoded"
    """JSON text that must be URL-decoded first."""
    FORM = "form"
    """Fields of a form, as on older projects."""
