"""Faults as text and as values, and which request gets which fault."""

from __future__ import annotations

from random import Random

import pytest

from batcher.sandbox import Fault, FaultKind, RequestSeen, SandboxSettings, parse_shares
from batcher.sandbox.fault_plan import FaultPlan
from batcher.sandbox.magic_ids import markers

TEXTS = [
    "drop-before",
    "drop-after",
    "hang",
    "hang-before",
    "http:503",
    "http:429:2",
    "http:302",
    "http-after:502",
    "html",
    "long-header",
    "cut",
    "cut-json",
    "empty",
    "no-code",
    "no-task-id",
    "code:1000",
    "slow:1500",
]
DROP, HANG = Fault(FaultKind.DROP_AFTER), Fault(FaultKind.HANG)


def faults(settings: SandboxSettings, file_ids: list[str]) -> list[Fault | None]:
    plan = FaultPlan(settings, Random(settings.seed))
    return [plan.next(file_id, "Tencent", "SampleSnapshot") for file_id in file_ids]


@pytest.mark.parametrize("text", TEXTS)
def test_fault_text_round_trips(text: str) -> None:
    """The text of a fault yields the same fault again."""
    assert str(Fault.parse(text)) == text


def test_every_kind_is_in_the_table() -> None:
    """The list of texts above has every kind."""
    assert {Fault.parse(text).kind for text in TEXTS} == set(FaultKind)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("drop", "The kinds are drop-before"),
        ("", "The kinds are drop-before"),
        ("drop-after:3", "takes nothing after its name"),
        ("http", "e.g. http:503"),
        ("http:200", "e.g. http:503"),
        ("http:500:2", "only http:429 and http:503"),
        ("http:503:soon", "e.g. http:503"),
        ("http-after:404", "e.g. http-after:502"),
        ("code:0", "e.g. code:1000"),
        ("code:", "e.g. code:1000"),
        ("slow:-1", "e.g. slow:1500"),
        ("slow:1:2:3", "e.g. slow:1500"),
    ],
)
def test_other_text_is_refused_with_hint(text: str, hint: str) -> None:
    """The message contains the remedy."""
    with pytest.raises(ValueError, match=hint):
        Fault.parse(text)


def test_shares_are_read_from_text() -> None:
    """The last equals sign separates the fault from its share."""
    assert parse_shares(["drop-after=0.03", "code:1000=0.02"]) == {"drop-after": 0.03, "code:1000": 0.02}


@pytest.mark.parametrize(
    ("texts", "hint"),
    [
        (["drop-after"], "FAULT=SHARE"),
        (["drop-after=3%"], "FAULT=SHARE"),
        (["drop-after=1.5"], "FAULT=SHARE"),
        (["drop-after=nan"], "FAULT=SHARE"),
        (["dropped=0.1"], "The kinds are"),
        (["hang=0.1", "hang=0.2"], "given twice"),
        (["hang=0.6", "drop-after=0.6"], "at most 1 in sum"),
    ],
)
def test_invalid_shares_are_refused_with_hint(texts: list[str], hint: str) -> None:
    """A share needs a fault and a number from 0 to 1, and all shares are at most 1 in sum."""
    with pytest.raises(ValueError, match=hint):
        parse_shares(texts)


def test_all_problems_of_settings_are_reported_together() -> None:
    """One message names every invalid setting."""
    with pytest.raises(ValueError, match=r"app_id(.|\n)*server_secret(.|\n)*rate_per_s(.|\n)*shares"):
        SandboxSettings(app_id=0, server_secret="short", rate_per_s=-1, shares={"hang": 2.0})


def test_settings_repr_has_no_secret() -> None:
    """The text of settings does not contain the server secret."""
    assert "f" * 32 not in repr(SandboxSettings(server_secret="f" * 32))


def test_shares_hold_on_average_and_repeat_with_seed() -> None:
    """A share of 0.1 affects about one request in ten, the same ones for the same seed."""
    settings = SandboxSettings(shares={"drop-after": 0.1, "code:1000": 0.2}, seed=7)
    first = faults(settings, ["1"] * 10_000)
    assert faults(settings, ["1"] * 10_000) == first
    assert first.count(DROP) == pytest.approx(1000, abs=100)
    assert first.count(Fault(FaultKind.CODE, 1000)) == pytest.approx(2000, abs=150)


def test_share_of_one_affects_every_request() -> None:
    """Share 1 leaves no request out."""
    assert set(faults(SandboxSettings(shares={"hang": 1.0}), ["1"] * 1000)) == {HANG}


def test_script_counts_requests_from_1() -> None:
    """The script counts from 1."""
    assert faults(SandboxSettings(script={2: DROP}), ["1", "2", "3"]) == [None, DROP, None]


def test_file_gets_its_fault_always_or_in_turn() -> None:
    """A fault holds for every request for the id; a sequence gives one to each request, then none."""
    settings = SandboxSettings(by_file={"1": DROP, "2": (None, HANG)})
    assert faults(settings, ["1", "1", "2", "2", "2", "3"]) == [DROP, DROP, None, HANG, None, None]


def test_chooser_comes_first() -> None:
    """If the chooser returns None, script, file and share decide, in this order."""
    seen: list[RequestSeen] = []

    def choose(request: RequestSeen) -> Fault | None:
        seen.append(request)
        return HANG if request.nth_for_file == 2 else None

    settings = SandboxSettings(choose=choose, script={2: DROP, 3: DROP}, shares={"html": 1.0})
    assert faults(settings, ["1", "1", "1", "1"]) == [
        Fault(FaultKind.HTML),
        HANG,
        DROP,
        Fault(FaultKind.HTML),
    ]
    assert seen[1] == RequestSeen(2, 2, "1", "Tencent", "SampleSnapshot")


def test_markers_are_improbable_and_unrounded() -> None:
    """A marker has nine digits, which leaves ten of a FileId free, so none need end in zeros."""
    prefixes = [name for name in markers(0) if name.isdigit()]
    assert len(prefixes) == 6
    assert {len(prefix) for prefix in prefixes} == {9}
