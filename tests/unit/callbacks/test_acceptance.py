"""Refusals of requests by the receiver, by table."""

from __future__ import annotations

import pytest

from batcher.callbacks.acceptance import (
    Acceptance,
    RequestHead,
    RequestRefusal,
    is_health_check,
    ledger_refusal,
    refusal_of_callback,
    refusal_of_head,
    refusal_of_length,
)
from batcher.model.callbacks import Other, Seal
from batcher.zego.callbacks import signature_of

NOW = 2_000_000_000
SECRET = "-".join(["known", "to", "both"])
ANY = Acceptance(SECRET)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (RequestHead("GET", "/healthz"), True),
        (RequestHead("HEAD", "/healthz"), True),
        (RequestHead("POST", "/healthz"), False),
        (RequestHead("GET", "/"), False),
        (RequestHead("GET", "/healthz/"), False),
    ],
)
def test_health_check_is_a_get_of_its_path(head: RequestHead, expected: bool) -> None:
    """A callback may be sent to any path, that of the health check included."""
    assert is_health_check(head) is expected


@pytest.mark.parametrize(
    ("head", "acceptance", "status"),
    [
        (RequestHead("POST", "/"), ANY, None),
        (RequestHead("POST", "/any/where"), ANY, None),
        (RequestHead("POST", "/zego", "Identity", 2048), Acceptance(SECRET, path="/zego"), None),
        (RequestHead("POST", "/zego/"), Acceptance(SECRET, path="/zego"), 404),
        (RequestHead("GET", "/x"), Acceptance(SECRET, path="/zego"), 404),
        (RequestHead("GET", "/"), ANY, 405),
        (RequestHead("PUT", "/", "gzip"), ANY, 405),
        (RequestHead("POST", "/", "gzip"), ANY, 415),
        (RequestHead("POST", "/", "identity", 100), Acceptance(SECRET, max_body_bytes=100), None),
        (RequestHead("POST", "/", "identity", 101), Acceptance(SECRET, max_body_bytes=100), 413),
    ],
)
def test_request_is_refused_by_path_method_encoding_and_length(
    head: RequestHead, acceptance: Acceptance, status: int | None
) -> None:
    """The first check that fails gives the status, before a byte of the body is read."""
    refusal = refusal_of_head(head, acceptance)
    assert (refusal.status if refusal else None) == status


def test_refused_method_names_the_allowed_one() -> None:
    """HTTP asks for the header Allow with status 405."""
    refusal = refusal_of_head(RequestHead("GET", "/"), ANY)
    assert refusal is not None
    assert refusal.headers == {"Allow": "POST"}


@pytest.mark.parametrize(("length", "refused"), [(0, False), (512 << 10, False), ((512 << 10) + 1, True)])
def test_body_is_refused_by_its_length(length: int, refused: bool) -> None:
    """The longest accepted body has 512 KiB by default."""
    assert (refusal_of_length(length, ANY) is not None) is refused


def callback(*, at: int = NOW, secret: str = SECRET, app_id: int | None = None) -> Other:
    """A callback that is signed with a secret."""
    return Other(Seal(at, "n-1", signature_of(secret, str(at), "n-1"), app_id), "room_login")


@pytest.mark.parametrize(
    ("given", "acceptance", "why"),
    [
        (callback(), ANY, None),
        (callback(secret="guessed"), ANY, "its signature is wrong"),
        (callback(secret="guessed", at=0), ANY, "its signature is wrong"),
        (callback(at=NOW - 600), ANY, None),
        (callback(at=NOW + 600), ANY, None),
        (callback(at=NOW - 601), ANY, "its time differs too much from the local clock"),
        (callback(at=NOW + 601), ANY, "its time differs too much from the local clock"),
        (callback(at=NOW - 601), Acceptance(SECRET, max_age_s=700.0), None),
        (callback(app_id=8), ANY, None),
        (callback(app_id=7), Acceptance(SECRET, app_id=7), None),
        (callback(), Acceptance(SECRET, app_id=7), None),
        (callback(app_id=8), Acceptance(SECRET, app_id=7), "it names another AppId"),
    ],
)
def test_callback_is_refused_by_signature_age_and_app_id(
    given: Other, acceptance: Acceptance, why: str | None
) -> None:
    """The signature is checked first; each refusal has status 401 and a reason for the log."""
    refusal = refusal_of_callback(given, acceptance, NOW)
    assert refusal == (None if why is None else RequestRefusal(401, why))


def test_ledger_that_cannot_be_written_has_the_callback_sent_again() -> None:
    """Status 503 with Retry-After makes the service repeat the callback."""
    assert ledger_refusal("disk full") == RequestRefusal(503, "disk full", {"Retry-After": "2"})


def test_secret_is_not_shown() -> None:
    """The rules may be logged; the secret is left out."""
    assert SECRET not in repr(ANY)
