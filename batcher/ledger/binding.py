"""Whose a ledger is: one AppId, and one kind of endpoint. Pure."""

from __future__ import annotations

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


def binding_problem(
    bound: tuple[int, EndpointKind] | None, app_id: int, place: EndpointKind | None
) -> str | None:
    """Return why an account must not use a ledger, and what to do; None if it may.

    Args:
        bound: the AppId and the kind of endpoint that the ledger belongs to; None before the first answer.
        app_id: the account's.
        place: the kind of endpoint that is called; None if nothing is called.
    """
    if bound is None or (bound[0] == app_id and place in (None, bound[1])):
        return None
    if bound[0] == app_id:
        return (
            f"it belongs to {_ENDPOINTS[bound[1]]}, and the endpoint in use (BATCHER_ENDPOINT) is "
            f"{'' if place is EndpointKind.ZEGO else 'not '}of the ZEGO cloud; rehearsed submissions must "
            "not count as real ones. Use an endpoint of the kind it belongs to, or another --ledger"
        )
    also = "" if place in (None, bound[1]) else f", and to {_ENDPOINTS[bound[1]]}, which this endpoint is not"
    return (
        f"it belongs to AppId {bound[0]}{also}; the AppId in use (BATCHER_APP_ID) is {app_id}, and tasks of "
        f"one AppId do not count for another. Use AppId {bound[0]}, or another --ledger"
    )
