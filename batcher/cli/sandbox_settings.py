"""The settings of a sandbox, from the options of ``sandbox``.

Called by that command. An option that is not given leaves the default of the sandbox's own settings, so each
default has one place.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from batcher.errors import SettingsError
from batcher.output_files import check_target
from batcher.sandbox import (
    CALLBACK,
    PLACES,
    SANDBOX_CALLBACK_SECRET,
    ActionFaults,
    AnswerShape,
    CallbackBody,
    CallbackSettings,
    Counting,
    PageNumbering,
    RecordingSettings,
    SandboxSettings,
    TaskSettings,
    WalkEnd,
    parse_faults,
)

KEPT_ENTRIES = 100_000

SECRET_NAME = "BATCHER_CALLBACK_SECRET"  # noqa: S105 - the name of a variable


def sandbox_settings(given: Mapping[str, Any]) -> SandboxSettings:
    """Return the settings that the options describe.

    Raises:
        SettingsError: an option cannot be used.
    """
    if given["log"] is not None:
        check_target(given["log"], "--log")
    seed = given["seed"]
    try:
        shares = parse_faults(given["fault"] or [])
        own, of_callbacks = shares.pop(PLACES[0], {}), shares.pop(CALLBACK, {})
        if (rate := given["rate"]) is not None and rate % 1 != 0:  # true for inf and nan, too
            raise ValueError(f"--rate {rate:g}: give a whole number")
        return SandboxSettings(
            **_given({**given, "rate": rate and int(rate)}, rate="rate_per_s"),
            **_given(given, jitter="jitter_ms", latency="latency_ms"),
            **_word(Counting, given, "counting", "counting"),
            **_word(AnswerShape, given, "shape", "answer_shape"),
            count_refused=bool(given["count_refused"]),
            seed=secrets.randbelow(2**31) if seed is None else seed,
            shares=own,
            faults={action: ActionFaults(shares=of_action) for action, of_action in shares.items()},
            recordings=_recordings(given),
            media=given["media"],
            tasks=_tasks(given),
            callbacks=_callbacks(given, of_callbacks),
            log_path=given["log"],
            keep_entries=KEPT_ENTRIES,
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _recordings(given: Mapping[str, Any]) -> RecordingSettings:
    days = given["days"]
    return RecordingSettings(
        **_given(given, recordings="count", crowd="crowd", arriving="arriving"),
        **({} if days is None else {"span_s": days * 86400}),
        **_word(PageNumbering, given, "pages", "pages"),
        **_word(WalkEnd, given, "walk_end", "walk_end"),
    )


def _tasks(given: Mapping[str, Any]) -> TaskSettings:
    return TaskSettings(
        **_given(
            given,
            task_time="time_s",
            task_fail="fail_share",
            task_endless="endless_share",
            task_forgotten="forgotten_share",
            sample_interval="sample_interval_s",
        )
    )


def _callbacks(given: Mapping[str, Any], shares: Mapping[str, float]) -> CallbackSettings:
    scale = 1.0 if given["callback_scale"] is None else given["callback_scale"]
    return CallbackSettings(
        url=given["callback_url"],
        secret=os.environ.get(SECRET_NAME) or SANDBOX_CALLBACK_SECRET,
        **_word(CallbackBody, given, "callback_body", "body"),
        schedule_s=[pause_s * scale for pause_s in CallbackSettings().schedule_s],
        shares=shares,
    )


def _given(given: Mapping[str, Any], **settings: str) -> dict[str, Any]:
    """Return the settings whose options were given, by the name of each setting."""
    return {setting: given[option] for option, setting in settings.items() if given[option] is not None}


def _word(words: type[StrEnum], given: Mapping[str, Any], option: str, setting: str) -> dict[str, Any]:
    """Return the setting of an option that is one of some words, if it was given."""
    if (text := given[option]) is None:
        return {}
    if text not in tuple(words):
        name = option.replace("_", "-")
        raise ValueError(f"--{name} {text}: give {', '.join(list(words)[:-1])} or {list(words)[-1]}")
    return {setting: words(text)}
