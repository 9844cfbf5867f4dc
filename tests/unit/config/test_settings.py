"""The sources of settings, their precedence, and the messages about wrong values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batcher.config.account import account_of
from batcher.config.examine import load_settings
from batcher.config.settings import Settings
from batcher.errors import SettingsError
from batcher.model.submission import EndpointKind, InDoubtPolicy

SECRET = "9193cc662a4c0ec135ec71fb57194b38"  # noqa: S105 - a published example, not a real secret


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own and an environment without anything of ours."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("BATCHER_")]:
        monkeypatch.delenv(name)


def problems(**flags: object) -> list[str]:
    """The problems, line by line."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    return str(caught.value).splitlines()


def test_defaults_are_those_promised() -> None:
    """Without anything set, the documented defaults hold."""
    settings = load_settings({})
    assert (
        settings.rate,
        settings.concurrency,
        settings.timeout,
        settings.in_doubt,
        settings.limit,
    ) == (20.0, 64, 30.0, InDoubtPolicy.RETRY, None)
    assert (
        settings.endpoint,
        settings.ledger,
        settings.is_test,
        settings.offset,
    ) == ("https://rtc-api.zego.im/", "batcher.db", None, ())


def test_each_source_outranks_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag outranks the environment, that .env, that batcher.toml, and that the default."""
    assert load_settings({}).rate == 20.0
    (tmp_path / "batcher.toml").write_text("rate = 1\n")
    assert load_settings({}).rate == 1.0
    (tmp_path / ".env").write_text("BATCHER_RATE=2\n")
    assert load_settings({}).rate == 2.0
    monkeypatch.setenv("BATCHER_RATE", "3")
    assert load_settings({}).rate == 3.0
    assert load_settings({"rate": 4.0}).rate == 4.0
    assert load_settings({"rate": None}).rate == 3.0


def test_file_of_settings_counts_for_one_reading_only(tmp_path: Path) -> None:
    """A file of settings counts for its own reading alone."""
    other = tmp_path / "other.toml"
    other.write_text('in-doubt = "hold"\n')
    assert load_settings({}, other).in_doubt is InDoubtPolicy.HOLD
    assert load_settings({}).in_doubt is InDoubtPolicy.RETRY


def test_all_problems_are_reported_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wrong setting has a line of its own, by the name under which it was given."""
    (tmp_path / "batcher.toml").write_text("concurrency = 0\n")
    monkeypatch.setenv("BATCHER_APP_ID", "no number")
    lines = problems(rate=-1.0)
    assert len(lines) == 3
    assert {"--rate", "BATCHER_APP_ID", "batcher.toml:"} == {line.split()[0] for line in lines}
    assert all(given in "\n".join(lines) for given in ("-1.0", "no number", " 0"))


def test_named_file_of_settings_is_named_in_its_problems(tmp_path: Path) -> None:
    """A problem in the file given with --config names that file."""
    other = tmp_path / "other.toml"
    other.write_text("rate = -1\n")
    with pytest.raises(SettingsError, match=r"other\.toml: rate"):
        load_settings({}, other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed = 3\n", "speed: there is no such setting"),
        (f'server_secret = "{SECRET}"\n', "server_secret: the ServerSecret is not accepted in this file"),
        (f'server-secret = "{SECRET}"\n', "server_secret: the ServerSecret is not accepted in this file"),
        ("rate = \n", "batcher.toml: "),
    ],
)
def test_bad_file_of_settings_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """An unknown name, a secret or a fault of syntax in batcher.toml is named, and no secret shown."""
    (tmp_path / "batcher.toml").write_text(text)
    message = "\n".join(problems())
    assert words in message
    assert SECRET not in message


def test_missing_file_of_settings_matters_only_when_named(tmp_path: Path) -> None:
    """batcher.toml may be missing; a file named with --config may not."""
    with pytest.raises(SettingsError, match=r"gone\.toml: there is no such file"):
        load_settings({}, tmp_path / "gone.toml")


def test_secret_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is in no repr, no text, no dump and no message about settings."""
    monkeypatch.setenv("BATCHER_SERVER_SECRET", SECRET)
    monkeypatch.setenv("BATCHER_APP_ID", "12345")
    settings = load_settings({})
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    assert [text for text in shown if SECRET in text] == []
    assert account_of(settings) == (12345, SECRET)
    monkeypatch.setenv("BATCHER_SERVER_SECRET", f"{SECRET} and more")
    message = "\n".join(problems(rate=-1.0))
    assert "BATCHER_SERVER_SECRET" in message
    assert SECRET not in message


def test_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BATCHER_SERVER_SECRET_FILE names a file whose one line is the secret."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    monkeypatch.setenv("BATCHER_SERVER_SECRET_FILE", "secret")
    monkeypatch.setenv("BATCHER_APP_ID", "12345")
    assert account_of(load_settings({})) == (12345, SECRET)


@pytest.mark.parametrize(
    "content", [b"", b"\n", f"{SECRET}\n{SECRET}\n".encode(), "密".encode(), b"\xff", None]
)
def test_bad_file_of_the_secret_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A missing file, or one that does not hold one plain line, is named and not shown."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("BATCHER_SERVER_SECRET_FILE", "secret")
    monkeypatch.setenv("BATCHER_APP_ID", "12345")
    with pytest.raises(SettingsError, match=r"^BATCHER_SERVER_SECRET_FILE: /\S+/secret: ") as caught:
        account_of(load_settings({}))
    assert SECRET not in str(caught.value)


def test_missing_credentials_are_named_together() -> None:
    """Without AppId and ServerSecret both are asked for."""
    with pytest.raises(SettingsError, match=r"(?s)BATCHER_APP_ID.*BATCHER_SERVER_SECRET"):
        account_of(load_settings({}))


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("https://rtc-api.zego.im/", EndpointKind.ZEGO),
        ("https://rtc-api-sha.zego.im", EndpointKind.ZEGO),
        ("https://RTC-API.ZEGO.IM:443/", EndpointKind.ZEGO),
        ("https://evil-zego.im/", EndpointKind.OTHER),
        ("https://zego.im.example.com/", EndpointKind.OTHER),
        ("https://example.com/rtc-api.zego.im", EndpointKind.OTHER),
        ("http://127.0.0.1:8420/", EndpointKind.OTHER),
        ("http://localhost:8420", EndpointKind.OTHER),
        ("http://[::1]:8420/", EndpointKind.OTHER),
        ("http://127.1.2.3/", EndpointKind.OTHER),
    ],
)
def test_endpoint_is_of_a_kind(endpoint: str, place: EndpointKind) -> None:
    """Only hosts under zego.im are the service; plain http is accepted for this machine's own addresses."""
    assert load_settings({"endpoint": endpoint}).place is place


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://rtc-api.zego.im/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://192.168.0.1/",
        "http://127.0.0.1@example.com/",
        "http://0.0.0.0/",
        "ftp://rtc-api.zego.im/",
        "rtc-api.zego.im",
        "https://",
        "https://rtc-api.zego.im/?a=b",
        "https://rtc-api.zego.im/#a",
        "https://user:word@rtc-api.zego.im/",
        "https://[::1/",
        "https://rtc-api.zego.im:port/",
        "https://rtc-api.zego.im:0/",
        "https://rtc-api..zego.im/",
        "https://xn--a/",
        "https://rtc-api.zego.im\\x/",
        "https://rtc-api zego.im/",
        "https://rtc-api.zego.im/\x01",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_unsafe_or_odd_endpoint_is_refused(endpoint: str) -> None:
    """Plain http to another machine, and a text that is not a plain URL, is refused by its option's name."""
    (line,) = problems(endpoint=endpoint)
    assert line.startswith("--endpoint")
    assert "word" not in line


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("10m", 600.0),
        ("4h", 14400.0),
        (" 2.5 s ", 2.5),
        (7, 7.0),
    ],
)
def test_duration_has_a_unit_or_is_seconds(text: object, seconds: float) -> None:
    """Durations are written as users write them."""
    assert load_settings({"timeout": text}).timeout == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1e3", "3 weeks", "0", "nan", "inf", float("inf"), float("nan")]
)
def test_text_that_is_not_a_duration_is_refused(text: object) -> None:
    """A text that is not a duration, or a duration of nothing, is refused."""
    (line,) = problems(timeout=text)
    assert line.startswith("--timeout")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1;2", ("1", "2")),
        ("1|2 3", ("1", "2", "3")),
        (" 1.5 ", ("1.5",)),
        (("1", "2;3"), ("1", "2", "3")),
        (["4"], ("4",)),
        ("", ()),
    ],
)
def test_offsets_are_a_list_or_repeated(given: object, expected: tuple[str, ...]) -> None:
    """Offsets may be repeated or given as one list."""
    assert load_settings({"offset": given}).offset == expected


def test_offsets_are_read_from_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of settings may hold numbers, the environment the short form."""
    (tmp_path / "batcher.toml").write_text("offset = [1, 2.5]\ndefinition = 10\n")
    settings = load_settings({})
    assert (settings.offset, settings.definition) == (("1", "2.5"), "10")
    monkeypatch.setenv("BATCHER_OFFSET", "1;2")
    assert load_settings({}).offset == ("1", "2")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_empty_variable_counts_as_not_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """BATCHER_…= without a value leaves the default, as in a .env file to be filled in."""
    default = getattr(load_settings({}), name)
    monkeypatch.setenv(f"BATCHER_{name.upper()}", "")
    assert default == getattr(load_settings({}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app_id", "0"),
        ("app_id", str(2**32)),
        ("app_id", "12 345"),
        ("rate", "0"),
        ("rate", "nan"),
        ("rate", "inf"),
        ("concurrency", "0"),
        ("limit", "0"),
        ("in_doubt", "maybe"),
        ("progress", "bars"),
        ("max_failures", "101%"),
        ("is_test", "perhaps"),
    ],
)
def test_value_out_of_range_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value out of range is refused by the variable's name."""
    monkeypatch.setenv(f"BATCHER_{name.upper()}", value)
    (line,) = problems()
    assert line.startswith(f"BATCHER_{name.upper()} {value}: ")


def test_settings_do_not_change() -> None:
    """Settings are read once and then stay."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).rate = 1.0
