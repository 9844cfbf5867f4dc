"""Settings: one frozen value that holds everything a user can set, with the rules for each value.

Made by :func:`batcher.config.examine.load_settings`, which finds the values: flag, then environment, then
``.env``, then ``batcher.toml``, then default. This module reads no file and no variable. Defaults are stated
in :mod:`batcher.config.defaults`. The ServerSecret never shows in a ``repr`` or a message.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from batcher.config import defaults
from batcher.config.endpoints import endpoint_of, place_of
from batcher.config.paths import path_problem
from batcher.config.secrets import CALLBACK_SECRET, SERVER_SECRET
from batcher.model.submission import EndpointKind, InDoubtPolicy
from batcher.model.web_address import split_address

MANIFEST_FORMATS = ("csv", "text", "jsonl", "json", "parquet", "xlsx", "xls", "xlsb", "ods")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*(k|m)(?:i?b)?", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d+")
_Path = TypeVar("_Path", str, Path)

# -- values as users write them: each returns the value, or raises ValueError with what to give -------


def _seconds(value: object) -> object:
    """Seconds from ``30``, ``30s``, ``500ms``, ``10m``, ``4h``."""
    if not isinstance(value, str):
        return value
    matched = _DURATION.fullmatch(value.strip())
    if not matched:
        raise ValueError("give seconds, or a number with ms, s, m or h")
    return float(matched[1]) * _UNITS_S[matched[2]]


def _bytes(value: object) -> object:
    """Bytes from ``500000``, ``500K``, ``20MiB``."""
    if not isinstance(value, str) or _WHOLE.fullmatch(value.strip()):
        return value
    matched = _SIZE.fullmatch(value.strip())
    if not matched:
        raise ValueError("give bytes, or a whole number with K or M, such as 500K or 20M")
    return int(matched[1]) << {"k": 10, "m": 20}[matched[2].lower()]


def _texts(value: object) -> object:
    """A list from a repeated flag, from ``1;2`` or ``1,2``."""
    parts = [value] if isinstance(value, str | int | float) else value
    if not isinstance(parts, list | tuple):
        return value
    return tuple(text for part in parts for text in re.split(r"[;,|\s]+", str(part).strip()) if text)


def _cell(value: object) -> object:
    """A text as a cell of a manifest; a number in the file of settings counts as text, "" as not given."""
    return (str(value).strip() or None) if isinstance(value, str | int | float) else value


def _manifest_format(value: object) -> object:
    """The name of a manifest format, in any case; "" counts as not given."""
    text = str(value or "").strip().lower()
    if text and text not in MANIFEST_FORMATS:
        raise ValueError(f"give one of {', '.join(MANIFEST_FORMATS)}")
    return text or None


def _time_of_day(value: object) -> object:
    """A time of day, ``5:30`` or ``05:30``; "" counts as not given."""
    text = "" if value is None else str(value).strip().removesuffix(":00")  # a time in a file has seconds
    text += ":00" if re.fullmatch(r"\d+", text) else ""
    if text and not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
        raise ValueError("give a time of day such as 05:30")
    return text.zfill(5) if text else None


def _max_failures(value: object) -> object:
    """A number, a share such as ``50%``, or ``off``."""
    text = str(value).strip().lower()
    if not re.fullmatch(r"[1-9]\d*|([1-9]\d?|100)%|off", text):
        raise ValueError("give a number, a share such as 50%, or off")
    return text


def _url_path(value: str | None) -> str | None:
    """The path of a URL."""
    if value is not None and not re.fullmatch(r"/[!-~]*", value):
        raise ValueError("give the path of a URL, beginning with /")
    return value


def _ping_url(value: SecretStr | None) -> SecretStr | None:
    """The URL of a check that is pinged; blanks count as not given."""
    if value is None or not value.get_secret_value().strip():
        return None
    text = value.get_secret_value().strip()
    try:
        parts = split_address(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not text.isascii() or parts.fragment:
        raise ValueError("give the URL of a check, beginning with https:// or http://")
    return SecretStr(text)


def _usable_path(value: _Path) -> _Path:
    """A path without stray characters, which would silently name another file."""
    if problem := path_problem(str(value)):
        raise ValueError(problem)
    return value


def _lower(value: object) -> object:
    """A word in any case."""
    return str(value).strip().lower()


def _none_if_empty(value: object) -> object:
    """ "" counts as not given."""
    return None if value == "" else value


_OrEmpty = BeforeValidator(_none_if_empty)
_Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
_Wait = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
_Size = Annotated[int, BeforeValidator(_bytes)]
_Cell = Annotated[str | None, BeforeValidator(_cell)]
_FilePath = Annotated[Path, AfterValidator(_usable_path)]
_OptionalPath = Annotated[_FilePath | None, _OrEmpty]
_Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseModel):
    """Everything that can be set. Field names are those of the variables without ``BATCHER_``."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True)
    app_id: Annotated[int | None, _OrEmpty] = Field(None, ge=1, lt=2**32)
    server_secret: Annotated[SecretStr | None, _OrEmpty, AfterValidator(SERVER_SECRET.checked)] = None
    server_secret_file: _OptionalPath = None
    server_secret_command: str | None = None
    endpoint: Annotated[str, AfterValidator(endpoint_of)] = defaults.ENDPOINT
    is_test: Annotated[bool | None, _OrEmpty] = None
    ledger: Annotated[str, AfterValidator(_usable_path)] = defaults.LEDGER
    new_ledger: bool = False

    rate: float = Field(defaults.RATE_PER_S, gt=0, le=1_000_000, allow_inf_nan=False)
    concurrency: int = Field(defaults.CONCURRENCY, ge=1, le=10_000)
    timeout: _Duration = defaults.TIMEOUT_S
    in_doubt: InDoubtPolicy = InDoubtPolicy(defaults.IN_DOUBT)
    limit: Annotated[int | None, _OrEmpty] = Field(None, ge=1)
    max_duration: _Duration | None = None
    until: Annotated[str | None, BeforeValidator(_time_of_day)] = None
    max_failures: Annotated[str, BeforeValidator(_max_failures)] = defaults.MAX_FAILURES
    grace: _Wait = defaults.GRACE_S
    track: bool = False
    track_timeout: _Duration = defaults.TRACK_TIMEOUT_S
    give_up: _Duration = defaults.GIVE_UP_S
    follow: bool = False
    wait_lock: _Wait = defaults.WAIT_LOCK_S
    alone: bool = False
    ledger_patience: _Wait = defaults.LEDGER_PATIENCE_S

    vendor: _Cell = None
    type: _Cell = None
    definition: _Cell = None
    interval: _Cell = None
    offset: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    encoding: _Cell = None
    manifest_format: Annotated[str | None, BeforeValidator(_manifest_format)] = None
    sheet: _Cell = None
    trust_ids: bool = False
    allow_resubmit: bool = False

    max_bytes: _Size = Field(defaults.MAX_PICTURE_BYTES, ge=1, le=1 << 30)

    callback_secret: Annotated[SecretStr | None, _OrEmpty, AfterValidator(CALLBACK_SECRET.checked)] = None
    callback_secret_file: _OptionalPath = None
    callback_secret_command: str | None = None
    listen_port: _Port = defaults.LISTEN_PORT
    listen_host: str = defaults.LISTEN_HOST
    listen_path: Annotated[str | None, _OrEmpty, AfterValidator(_url_path)] = None
    listen_cert: _OptionalPath = None
    listen_key: _OptionalPath = None
    listen_max_body: _Size = Field(defaults.LISTEN_MAX_BODY_BYTES, ge=1 << 10, le=1 << 20)
    listen_max_age: _Duration = defaults.LISTEN_MAX_AGE_S
    submit_new: bool = False

    metrics_port: _Port | None = None
    metrics_host: str = defaults.METRICS_HOST
    metrics_file: _FilePath | None = None
    notify: SecretStr | None = None
    notify_file: _FilePath | None = None
    notify_on: Literal["failure", "halt", "always", "never"] = defaults.NOTIFY_ON
    ping_url: Annotated[SecretStr | None, AfterValidator(_ping_url)] = None

    progress: Literal["auto", "plain", "none"] = defaults.PROGRESS
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = defaults.LOG_FORMAT

    @property
    def place(self) -> EndpointKind:
        """The kind of the endpoint."""
        return place_of(self.endpoint)


PATHS = frozenset(
    {"ledger", "server_secret_file", "callback_secret_file", "notify_file"}
    | {"listen_cert", "listen_key", "metrics_file"}
)
"""The settings that are paths."""
