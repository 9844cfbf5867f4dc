"""The account that a ledger belongs to: one AppId and one kind of endpoint.

Called by runs, tracking, fetching and listening before they call the service. Pure: the caller reads the
binding.
"""

from __future__ import annotations

from batcher.errors import BindingError
from batcher.model.ledger_name import LedgerName
from batcher.model.outcome import Answer, Outcome
from batcher.model.submission import EndpointKind

PROVING_CODES = frozenset({0, 2, 4, 1000, 41003})
"""Codes of the call itself, which is reached only past the gateway that checks AppId and signature.

Refusals of the account (3, 5, 7), the gateway's own codes, "too frequent" and unknown codes prove nothing.
"""

_ENDPOINTS = {EndpointKind.ZEGO: "the ZEGO cloud", EndpointKind.OTHER: "an endpoint outside the ZEGO cloud"}


def proves_account(outcome: Outcome) -> bool:
    """Return whether an outcome proves that the service knows this AppId and its secret."""
    return isinstance(outcome, Answer) and outcome.code in PROVING_CODES


def check_binding(
    ledger: LedgerName, bound: tuple[int, EndpointKind] | None, app_id: int | None, place: EndpointKind | None
) -> None:
    """Refuse a ledger that belongs to another account.

    Args:
        ledger: its name, for the message.
        bound: the AppId and the kind of endpoint that it belongs to; None before the first answer.
        app_id: the AppId in use, or None.
        place: the kind of endpoint in use; None if no endpoint is called.

    Raises:
        BindingError: it belongs to another AppId or to another kind of endpoint.
    """
    if bound is None:
        return
    its_app_id, its_place = bound
    elsewhere = place not in (None, its_place)
    if app_id not in (None, its_app_id):
        also = f", and to {_ENDPOINTS[its_place]}, which this endpoint is not" if elsewhere else ""
        raise BindingError(
            f"{ledger}: it belongs to AppId {its_app_id}{also}; the AppId in use (BATCHER_APP_ID) is "
            f"{app_id}, and tasks of one AppId do not count for another. Use AppId {its_app_id}, or another "
            "--ledger"
        )
    if elsewhere:
        is_not = "" if place is EndpointKind.ZEGO else "not "
        raise BindingError(
            f"{ledger}: it belongs to {_ENDPOINTS[its_place]}, and the endpoint in use (BATCHER_ENDPOINT) is "
            f"{is_not}of the ZEGO cloud; rehearsed submissions must not count as real ones. Use an endpoint "
            "of the kind it belongs to, or another --ledger"
        )
