"""The account of a ledger, and the answers that prove it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batcher.errors import BindingError
from batcher.flowcontrol.retry_policy import KINDS, CodeKind
from batcher.ledger.binding import PROVING_CODES, check_binding, proves_account
from batcher.model.outcome import Answer, HttpRefusal, NotSent, Outcome, ReplyLost
from batcher.model.submission import EndpointKind

OURS = (12345, EndpointKind.OTHER)


def test_proving_codes_are_those_that_concern_one_recording() -> None:
    """They include every rejection of a recording, and no code about the account or the pace."""
    concerning = {CodeKind.SUBMITTED, CodeKind.REJECT, CodeKind.UNKNOWN}
    assert {code for code, kind in KINDS.items() if kind in concerning} == PROVING_CODES


def test_only_an_answer_proves_an_account() -> None:
    """An outcome without an answer, or with an unknown code, proves nothing."""
    assert proves_account(Answer(0))
    others: list[Outcome] = [Answer(4711), HttpRefusal(404), ReplyLost("x"), NotSent("x")]
    assert [outcome for outcome in others if proves_account(outcome)] == []


@pytest.mark.parametrize(
    ("bound", "app_id", "place", "said", "unsaid"),
    [
        (
            OURS,
            7,
            EndpointKind.OTHER,
            "it belongs to AppId 12345; the AppId in use (BATCHER_APP_ID) is 7",
            "rehears",
        ),
        (OURS, 12345, EndpointKind.ZEGO, "rehearsed submissions must not count", "AppId"),
        (OURS, 7, EndpointKind.ZEGO, "AppId 12345, and to an endpoint outside the ZEGO cloud", "rehears"),
        (OURS, 7, None, "it belongs to AppId 12345; the AppId in use", "rehears"),
    ],
)
def test_refusal_names_the_difference(
    bound: tuple[int, EndpointKind], app_id: int, place: EndpointKind | None, said: str, unsaid: str
) -> None:
    """Another AppId and another kind of endpoint have different messages."""
    with pytest.raises(
        BindingError, match=re.escape(f"l.db: {said}" if said.startswith("it") else said)
    ) as caught:
        check_binding(Path("l.db"), bound, app_id, place)
    assert unsaid not in str(caught.value)


@pytest.mark.parametrize("bound", [None, OURS])
@pytest.mark.parametrize("place", [None, EndpointKind.OTHER])
def test_own_ledger_is_accepted(bound: tuple[int, EndpointKind] | None, place: EndpointKind | None) -> None:
    """An unbound ledger, or one bound to the same, may be used."""
    check_binding(Path("l.db"), bound, 12345, place)


def test_endpoint_is_checked_without_an_app_id() -> None:
    """A command that has no account is refused for the kind of endpoint alone."""
    check_binding(Path("l.db"), OURS, None, EndpointKind.OTHER)
    with pytest.raises(BindingError, match="rehearsed submissions must not count"):
        check_binding(Path("l.db"), OURS, None, EndpointKind.ZEGO)
