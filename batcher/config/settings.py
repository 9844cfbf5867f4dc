"""Settings: flag, then environment, then ``batcher.toml``, then default; read once, at the command line.

One frozen value holds all of them. Everything that is wrong is reported together, each by the name under
which the user gave it. The ServerSecret comes from the environment or a file alone, and never shows.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batcher.config.endpoints import DEFAULT_ENDPOINT, endpoint_of, place_of
from batcher.config.paths import path_problem
from batcher.config.secrets import _CALLBACK, QUOTATION_MARKS, SECRETS, in_quotes, may_be_secret, secret_of
from batcher.errors import SettingsError
from batcher.model.submission import EndpointKind, InDoubtPolicy

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT_CONFIG = "batcher.toml"
MANIFEST_FORMATS = ("csv", "text", "jsonl", "json", "parquet", "xlsx")

_SettingsClass = type[BaseSettings]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_MAY_BE_SECRET = re.compile(r"(?=[0-9]*[A-Za-z])[0-9A-Za-z]{8,}")
"""What is not repeated of an AppId, which is digits only."""
_WHOLE = re.compile(r"[+-]?\d+")
_SIZE = re.compile(r"(\d+)\s*(k|m)(?:i?b)?", re.IGNORECASE)
_UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


_TOML: ContextVar[Mapping[str, Any]] = ContextVar("toml")
"""What stands in the file of settings, while they are read: the library asks the class for its sources."""


class Settings(BaseSettings):
    """Everything that can be set. Field names are those of the variables without ``BATCHER_``."""

    model_config = SettingsConfigDict(
        env_prefix="BATCHER_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )
    app_id: int | None = Field(None, ge=1, lt=2**32)
    server_secret: SecretStr | None = None
    server_secret_file: Path | None = None
    server_secret_command: str | None = None
    endpoint: str = DEFAULT_ENDPOINT
    is_test: bool | None = None
    ledger: str = "batcher.db"
    new_ledger: bool = False

    rate: float = Field(20.0, gt=0, le=1_000_000, allow_inf_nan=False)
    concurrency: int = Field(64, ge=1, le=10_000)
    timeout: float = Field(30.0, gt=0, allow_inf_nan=False)
    in_doubt: InDoubtPolicy = InDoubtPolicy.RETRY
    limit: int | None = Field(None, ge=1)
    max_duration: float | None = Field(None, gt=0, allow_inf_nan=False)
    until: str | None = None
    max_failures: str = "50%"
    grace: float = Field(30.0, ge=0, allow_inf_nan=False)
    track: bool = False
    track_timeout: float = Field(3600.0, gt=0, allow_inf_nan=False)
    give_up: float = Field(48 * 3600.0, gt=0, allow_inf_nan=False)
    follow: bool = False
    wait_lock: float = Field(0.0, ge=0, allow_inf_nan=False)

    vendor: str | None = None
    type: str | None = None
    definition: str | None = None
    interval: str | None = None
    offset: Annotated[tuple[str, ...], NoDecode] = ()
    encoding: str | None = None
    manifest_format: str | None = None
    sheet: str | None = None
    trust_ids: bool = False
    allow_resubmit: bool = False

    max_bytes: int = Field(20 << 20, ge=1, le=1 << 30)

    callback_secret: SecretStr | None = None
    callback_secret_file: Path | None = None
    callback_secret_command: str | None = None
    listen_port: int = Field(8080, ge=0, le=65535)
    listen_host: str = "127.0.0.1"
    listen_path: str | None = None
    listen_cert: Path | None = None
    listen_key: Path | None = None
    listen_max_body: int = Field(512 << 10, ge=1 << 10, le=1 << 20)
    listen_max_age: float = Field(600.0, gt=0, allow_inf_nan=False)
    submit_new: bool = False

    metrics_port: int | None = Field(None, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    metrics_file: Path | None = None
    notify: SecretStr | None = None
    notify_file: Path | None = None
    notify_on: str = Field("failure", pattern="^(failure|halt|always|never)$")
    ping_url: SecretStr | None = None

    progress: str = Field("auto", pattern="^(auto|plain|none)$")
    log_format: str = "text"

    @field_validator(
        *("timeout", "grace", "wait_lock", "max_duration", "listen_max_age", "track_timeout", "give_up"),
        mode="before",
    )
    @classmethod
    def _duration(cls, value: object) -> object:
        """Seconds from ``30``, ``30s``, ``500ms``, ``10m``, ``4h``."""
        if not isinstance(value, str):
            return value
        matched = _DURATION.fullmatch(value.strip())
        if not matched:
            raise ValueError("give seconds, or a number with ms, s, m or h")
        return float(matched[1]) * _UNITS_S[matched[2]]

    @field_validator("max_bytes", "listen_max_body", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        """Bytes from ``500000``, ``500K``, ``20MiB``."""
        if not isinstance(value, str) or _WHOLE.fullmatch(value.strip()):
            return value
        matched = _SIZE.fullmatch(value.strip())
        if not matched:
            raise ValueError("give bytes, or a whole number with K or M, such as 500K or 20M")
        return int(matched[1]) << {"k": 10, "m": 20}[matched[2].lower()]

    @field_validator("offset", mode="before")
    @classmethod
    def _offsets(cls, value: object) -> object:
        """A list from a repeated flag, from ``1;2`` or ``1,2``."""
        parts = [value] if isinstance(value, str | int | float) else value
        if not isinstance(parts, list | tuple):
            return value
        return tuple(one for part in parts for one in re.split(r"[;,|\s]+", str(part).strip()) if one)

    @field_validator("vendor", "type", "definition", "interval", "encoding", "sheet", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        """A number in the file of settings is as good as text; nothing is as good as left out."""
        return (str(value).strip() or None) if isinstance(value, str | int | float) else value

    @field_validator("manifest_format", mode="before")
    @classmethod
    def _manifest_format(cls, value: object) -> object:
        """One of the formats, in any case; nothing is as good as left out."""
        text = str(value or "").strip().lower()
        if text and text not in MANIFEST_FORMATS:
            raise ValueError(f"give one of {', '.join(MANIFEST_FORMATS)}")
        return text or None

    @field_validator("log_format", mode="before")
    @classmethod
    def _log_format(cls, value: object) -> object:
        """One of the two, in any case."""
        text = str(value).strip().lower()
        if text not in {"text", "json"}:
            raise ValueError("give text or json")
        return text

    @field_validator("until", mode="before")
    @classmethod
    def _until(cls, value: object) -> object:
        """A time of day, ``5:30`` or ``05:30``; nothing is as good as left out."""
        text = "" if value is None else str(value).strip().removesuffix(":00")  # a time in a file has seconds
        text += ":00" if re.fullmatch(r"\d+", text) else ""
        if text and not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
            raise ValueError("give a time of day such as 05:30")
        return text.zfill(5) if text else None

    @field_validator("max_failures", mode="before")
    @classmethod
    def _max_failures(cls, value: object) -> object:
        """A number, a share such as ``50%``, or ``off``."""
        text = str(value).strip().lower()
        if not re.fullmatch(r"[1-9]\d*|([1-9]\d?|100)%|off", text):
            raise ValueError("give a number, a share such as 50%, or off")
        return text

    @field_validator(
        *("app_id", "is_test", "limit", "server_secret", "server_secret_file"),
        *("callback_secret", "callback_secret_file", "listen_path", "listen_cert", "listen_key"),
        mode="before",
    )
    @classmethod
    def _left_out(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator(
        *("ledger", "server_secret_file", "callback_secret_file", "listen_cert", "listen_key"),
        *("metrics_file", "notify_file"),
    )
    @classmethod
    def _meant(cls, value: str | Path | None) -> str | Path | None:
        """A path without stray characters, which would silently name another file."""
        if value is not None and (problem := path_problem(str(value))):
            raise ValueError(problem)
        return value

    @field_validator("server_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(secret_of(value.get_secret_value()))

    @field_validator("callback_secret")
    @classmethod
    def _callback_secret(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(_CALLBACK.read(value.get_secret_value()))

    @field_validator("listen_path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"/[!-~]*", value):
            raise ValueError("give the path of a URL, beginning with /")
        return value

    @field_validator("ping_url")
    @classmethod
    def _ping_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        text = value.get_secret_value().strip()
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not text.isascii() or not text.isprintable() or " " in text or parts.fragment:
            raise ValueError("give the URL of a check, beginning with https:// or http://")
        return SecretStr(text)

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str, _info: ValidationInfo) -> str:
        return endpoint_of(value)

    @property
    def place(self) -> EndpointKind:
        """What kind of endpoint this is."""
        return place_of(self.endpoint)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: _SettingsClass,
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then ``.env``, then the file of settings."""
        toml = InitSettingsSource(settings_cls, dict(_TOML.get()))
        return init_settings, env_settings, dotenv_settings, toml


def load_settings(flags: Mapping[str, object], config: Path | None = None) -> Settings:
    """Read all settings once.

    Args:
        flags: what was given on the command line; None stands for not given.
        config: the file of settings; the default one may be missing.

    Raises:
        SettingsError: with everything that is wrong.
    """
    given: dict[str, Any] = {
        name: value for name, value in flags.items() if value is not None and value != ()
    }
    toml = _read_toml(config)
    token = _TOML.set(toml)
    try:
        settings = Settings(**given)
    except ValidationError as exc:
        raise SettingsError(*_problems(exc, given, toml, str(config or DEFAULT_CONFIG))) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f".env: cannot be read: {exc}") from exc
    finally:
        _TOML.reset(token)
    return settings


def _is_secret_word(word: str) -> bool:
    """Whether a path may be the secret itself: it names no folder, and looks like one."""
    return "/" not in word and may_be_secret(word)


# -- the file of settings -------------------------------------------------------------------------------


def _read_toml(config: Path | None) -> dict[str, Any]:
    values = _parse_toml(config)
    if problems := _toml_problems(values, config or Path(DEFAULT_CONFIG)):
        raise SettingsError(*problems)
    return values


def _parse_toml(config: Path | None) -> dict[str, Any]:
    path = config or Path(DEFAULT_CONFIG)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if config is None:
            return {}
        raise SettingsError(f"--config {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: cannot be read: {exc}") from exc
    try:
        return {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def _toml_problems(values: Mapping[str, object], path: Path) -> list[str]:
    """What may not stand in the file of settings."""
    return [
        f"{path}: {name}: {SECRETS[name]} never stands in this file; set BATCHER_{name.upper()}"
        if name in SECRETS
        else f"{path}: {name}: there is no such setting"
        for name in values
        if name not in Settings.model_fields or name in SECRETS
    ]


def _problems(
    exc: ValidationError, flags: Mapping[str, object], toml: Mapping[str, object], config: str
) -> list[str]:
    lines = []
    for error in exc.errors(include_url=False):
        name = str(error["loc"][0])
        given = str(error.get("input"))
        hidden = name in SECRETS or (name == "app_id" and _MAY_BE_SECRET.search(given))
        shown = "" if hidden else shown_value(given)
        more = _app_id_remedy(given) if name == "app_id" else ""
        lines.append(f"{_named(name, flags, toml, config)}{shown}: {wanted(error)}{more}")
    return lines


def is_number(text: str) -> bool:
    """Whether a value is a number, which no secret is."""
    return bool(_WHOLE.fullmatch(text.strip()))


def shown_value(given: str) -> str:
    """A value as a message repeats it, after a blank; empty when it may hold a secret."""
    return "" if "@" in given or may_be_secret(given) else f" {given}"


def _app_id_remedy(given: str) -> str:
    """What else to say of an AppId that is no number; the value itself may be a secret, and is not shown."""
    if is_number(given):
        return ""
    if in_quotes(given) and is_number(given.strip().strip(QUOTATION_MARKS)):
        return ", without quotation marks"
    if _MAY_BE_SECRET.search(given):
        return (
            ", the one that the ZEGO console shows. The value is not repeated here, since it may be the "
            "ServerSecret: BATCHER_APP_ID and BATCHER_SERVER_SECRET may have been exchanged"
        )
    return ", the one that the ZEGO console shows"


def wanted(error: ErrorDetails) -> str:
    """What to give instead of what was not taken, for a setting or a word of a command line."""
    bounds = error.get("ctx", {})
    match error["type"]:
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "give a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "give a number"
        case "bool_parsing" | "bool_type":
            return "give true or false"
        case "greater_than":
            return f"give more than {bounds['gt']:g}"
        case "greater_than_equal":
            return f"give {bounds['ge']:g} or more"
        case "less_than":
            return f"give less than {bounds['lt']:,}"
        case "less_than_equal":
            return f"give {bounds['le']:,.0f} at most"
        case "enum" | "literal_error":
            return f"give {bounds['expected'].replace(chr(39), '')}"
        case "string_pattern_mismatch":
            *others, last = bounds["pattern"].strip("^()$").split("|")
            return f"give {', '.join(others)} or {last}"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _named(name: str, flags: Mapping[str, object], toml: Mapping[str, object], config: str) -> str:
    """A setting as the user gave it."""
    if name in flags:
        return "--" + name.removeprefix("listen_").replace("_", "-")
    variable = f"BATCHER_{name.upper()}"
    return f"{config}: {name}" if name in toml and variable not in os.environ else variable


def strange_variables() -> tuple[str, ...]:
    """Variables, in the environment and ``.env``, that look like settings and are none; never raises."""
    variables = {name for name in os.environ if name.upper().startswith("BATCHER_")}
    with contextlib.suppress(
        OSError, UnicodeDecodeError
    ):  # whoever needs the file says what is wrong with it
        variables |= _dotenv_variables(DotEnvSettingsSource(Settings))
    return _strange(variables)


def strange_text(variable: str) -> tuple[str, str]:
    """What is wrong with a variable that is no setting, and what to do."""
    names = {name.upper(): f"BATCHER_{name.upper()}" for name in Settings.model_fields}
    near = difflib.get_close_matches(variable.upper().removeprefix("BATCHER_"), names, 1)
    remedy = f"perhaps {names[near[0]]} is meant" if near else "take it away, or correct its name"
    return f"{variable}: there is no such setting, and it has no effect", remedy


def _dotenv_variables(source: DotEnvSettingsSource) -> set[str]:
    return {name.upper() for name in source.env_vars if name.lower().startswith("batcher_")}


def _strange(variables: Iterable[str]) -> tuple[str, ...]:
    fields = Settings.model_fields
    strange = [name for name in variables if name.upper().removeprefix("BATCHER_").lower() not in fields]
    return tuple(sorted(strange, key=str.upper))
