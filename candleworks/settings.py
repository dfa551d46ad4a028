"""Everything a person can configure, read once into one frozen object.

The YAML file says what the platform does (feeds, symbols, thresholds); environment variables say what differs per
machine (addresses, ports, secrets).
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from candleworks.errors import ConfigurationError

VENDOR_FEED_URL = "wss://ws.twelvedata.com/v1/quotes/price"
VENDOR_REST_URL = "https://api.twelvedata.com"
DEFAULT_SYMBOLS = ("AAPL", "MSFT", "TSLA", "AMZN", "BTC/USD", "ETH/USD", "EUR/USD")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Feed(_Section):
    """One websocket connection and the symbols asked of it."""

    name: Name = "twelvedata"
    symbols: tuple[Symbol, ...] = Field(default=DEFAULT_SYMBOLS, min_length=1)

    @field_validator("symbols")
    @classmethod
    def _each_symbol_once(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        if repeated:
            raise ValueError(f"each symbol once, but {', '.join(repeated)} stands twice")
        return symbols


class Ingest(_Section):
    """How ticks are gathered on their way to the database."""

    max_batch_rows: int = Field(default=5_000, ge=1, le=100_000)
    flush_interval_ms: int = Field(default=100, ge=1, le=10_000)
    max_buffered_ticks: int = Field(default=200_000, ge=1_000, le=10_000_000)
    max_future_seconds: int = Field(default=60, ge=0, le=86_400)


class Candles(_Section):
    """How often stored candles catch up with ticks while `ingest` runs."""

    refresh_interval_seconds: float = Field(default=1.0, ge=0.1, le=3_600)


class Calendars(_Section):
    """Which exchange calendar a symbol's trading day follows.

    `symbols` maps a symbol to a calendar name of exchange_calendars; a pair such as `BTC/USD` that is not named
    trades around the clock, everything else follows `stocks`.
    """

    stocks: str = "XNYS"
    symbols: dict[Symbol, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_calendars(self) -> "Calendars":
        import exchange_calendars  # noqa: PLC0415 - 0.5 s to import, and most configurations name no calendar

        for name in {self.stocks, *self.symbols.values()} - {"XNYS", "24/7"}:
            if name not in exchange_calendars.get_calendar_names():
                raise ValueError(f"a calendar of exchange_calendars such as XNYS, XLON or 24/7, not {name!r}")
        return self


class Storage(_Section):
    """How the database keeps ticks."""

    chunk_interval_days: int = Field(default=1, ge=1, le=365)


class Simulator(_Section):
    """The simulated feed that runs while no API key is set."""

    rate: float = Field(default=20.0, gt=0, le=1_000_000)
    seed: int = Field(default=1, ge=0)


class _File(_Section):
    feeds: tuple[Feed, ...] = Field(default=(Feed(),), min_length=1)
    ingest: Ingest = Ingest()
    candles: Candles = Candles()
    calendars: Calendars = Calendars()
    storage: Storage = Storage()
    simulator: Simulator = Simulator()

    @field_validator("feeds")
    @classmethod
    def _distinct_names(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        names = [feed.name for feed in feeds]
        if len(set(names)) != len(names):
            raise ValueError(f"feeds with distinct names, but got {', '.join(names)}")
        return feeds


class Settings(_File):
    """The whole configuration. Secrets are masked wherever it is printed."""

    dsn: SecretStr | None = None
    home: Path = Path(".candleworks")
    feed_url: str = VENDOR_FEED_URL
    rest_url: str = VENDOR_REST_URL
    web_port: Port = 8050
    timescaledb: Path | None = None
    api_key: SecretStr | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("home", "timescaledb")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path else None

    @property
    def simulated(self) -> bool:
        """Whether `up` has to bring its own feed: no key, and no other address to get ticks from."""
        return self.api_key is None and self.feed_url == VENDOR_FEED_URL

    def feed(self, name: str | None) -> Feed:
        """Return the feed called `name`, or the only one; UsageError when that is not clear."""
        if name is None and len(self.feeds) == 1:
            return self.feeds[0]
        for feed in self.feeds:
            if feed.name == name:
                return feed
        known = ", ".join(feed.name for feed in self.feeds)
        raise ConfigurationError(f"No feed named {name!r} is configured: choose one of {known} with --feed.")


ENVIRONMENT = {
    "CANDLEWORKS_DSN": "dsn",
    "CANDLEWORKS_HOME": "home",
    "CANDLEWORKS_FEED_URL": "feed_url",
    "CANDLEWORKS_REST_URL": "rest_url",
    "CANDLEWORKS_WEB_PORT": "web_port",
    "CANDLEWORKS_TIMESCALEDB": "timescaledb",
    "CANDLEWORKS_LOG_LEVEL": "log_level",
    "TWELVEDATA_API_KEY": "api_key",
}
CONFIG_VARIABLE = "CANDLEWORKS_CONFIG"
CONFIG_FILE = "candleworks.yaml"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the YAML file it names (default `candleworks.yaml`, which may be absent).

    Raises ConfigurationError that names the key's path, the value and what is allowed.
    """
    environment = os.environ if environment is None else environment
    from_environment = {key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)}
    path = Path(environment.get(CONFIG_VARIABLE) or CONFIG_FILE)
    from_file = _read_file(path, required=bool(environment.get(CONFIG_VARIABLE)))
    try:
        file_part = _File.model_validate(from_file)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, str(path))) from None
    try:
        return Settings.model_validate(file_part.model_dump() | from_environment)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, "the environment")) from None


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise ConfigurationError(f"The configuration {path} named by {CONFIG_VARIABLE} does not exist: create it.")
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigurationError(f"The configuration {path} is no YAML ({reason}): correct it.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"The configuration {path} holds {content!r}: it must be keys such as `feeds:`.")
    return content


def _explain(error: ValidationError, source: str) -> str:
    problem = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    variables = {key: name for name, key in ENVIRONMENT.items()}
    path = variables.get(path, path) if source == "the environment" else path
    if problem["type"] == "extra_forbidden":
        siblings = ", ".join(_keys_at(problem["loc"][:-1]))
        return f"{source}: unknown key {path}: allowed here are {siblings}."
    allowed = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    shown = "(secret)" if path in ("CANDLEWORKS_DSN", "TWELVEDATA_API_KEY") else repr(problem["input"])
    return f"{source}: {path} is {shown}, allowed is {allowed}."


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    """Name the keys that may stand at `path` of the file."""
    model: type[BaseModel] = _File
    for part in path:
        if isinstance(part, str):
            inner = model.model_fields[part].default
            model = type(inner[0] if isinstance(inner, tuple) else inner)
    return sorted(model.model_fields)
