"""Log records on stderr: one object a line with the same keys, in UTC, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from batcher.cli.terminal import logging_setup
from batcher.cli.terminal.console import Console


@pytest.fixture
def console() -> Iterator[Console]:
    """A console for programs that knows a secret; detached afterwards."""
    console = Console(log_format="json")
    console.redaction.learn("9193cc662a4c0ec1")
    logging_setup.attach(console)
    yield console
    logging.getLogger().removeHandler(logging_setup._handler)


def only_event(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one event on stderr, which is one line."""
    [line] = capsys.readouterr().err.splitlines()
    event: dict[str, Any] = json.loads(line)
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(event["timestamp"]).utcoffset() == UTC.utcoffset(None)
    return event


def test_event_has_its_fields_after_the_common_ones(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """A field may hold line ends and secrets: the event stays one line and shows no secret."""
    logging_setup.record_event(console, logging.WARNING, "met", {"text": "a\nb 9193cc662a4c0ec1", "code": 7})
    event = only_event(capsys)
    assert (event["level"], event["event"], event["code"]) == ("warning", "met", 7)
    assert event["text"] == "a\nb [redacted]"


@pytest.mark.usefixtures("console")
def test_record_of_a_library_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the name of its logger, its text and the type of its exception; the traceback needs -v."""
    try:
        raise ValueError("9193cc662a4c0ec1")
    except ValueError:
        logging.getLogger("lib").exception("lost %s", "Signature=abc")
    event = only_event(capsys)
    assert {name: event[name] for name in event if name != "timestamp"} == {
        "level": "error",
        "event": "log",
        "logger": "lib",
        "text": "lost Signature=[redacted]",
        "error": "ValueError",
    }


@pytest.mark.usefixtures("console")
def test_record_that_cannot_be_formatted_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault in a library's logging call raises nothing."""
    record = logging.makeLogRecord(
        {"name": "lib", "levelname": "WARNING", "levelno": 30, "msg": "%d", "args": ("one",)}
    )
    logging_setup._handler.handle(record)
    assert only_event(capsys)["text"] == "what lib logs cannot be written, TypeError"
