"""Everything a person can configure, read once into one frozen object.

The YAML file says what the platform does (feeds, symbols, thresholds); environment variables say what differs per
machine (addresses, ports, secrets).
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    StrictFloat,
    StrictInt,
    Tag,
    ValidationError,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from candleworks.errors import ConfigurationError

VENDOR_FEED_URL = "wss://ws.twelvedata.com/v1/quotes/price"
VENDOR_REST_URL = "https://api.twelvedata.com"
DEFAULT_SYMBOLS = ("AAPL", "MSFT", "TSLA", "AMZN", "BTC/USD", "ETH/USD", "EUR/USD")


def _matching(pattern: str, allowed: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return AfterValidator(check)


def _known_calendar(name: str) -> str:
    if name not in ("XNYS", "24/7", "FX"):
        import exchange_calendars  # noqa: PLC0415 - 0.5 s to import, and most configurations name no calendar

        if name not in exchange_calendars.get_calendar_names():
            raise ValueError("FX, or a calendar of exchange_calendars such as XNYS, XLON or 24/7")
    return name


def _silence_seconds(value: object) -> int:
    if type(value) is not int or not 5 <= value <= 86_400:
        raise ValueError("a whole number from 5 to 86,400")
    return value


Name = Annotated[str, _matching("[a-z0-9][a-z0-9-]{0,39}", "up to 40 of a-z, 0-9 and -, not beginning with -")]
Symbol = Annotated[
    str,
    _matching(
        "[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}",
        "up to 32 letters, digits and . / : ^ _ -, beginning with a letter or digit",
    ),
]
VendorSymbol = Annotated[Symbol, AfterValidator(str.upper)]  # as the vendor writes them; it knows no others
Word = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}", "up to 32 letters, digits, spaces and . _ -")]
SilenceSeconds = Annotated[int, BeforeValidator(_silence_seconds)]
CalendarName = Annotated[str, AfterValidator(_known_calendar)]
SymbolClass = Literal["stock", "crypto", "forex"]
RequiredField = Literal["time", "symbol", "price", "received_at", "day_volume", "volume", "bid", "ask"]
Port = Annotated[int, Field(ge=1, le=65535)]
FeedUrl = Annotated[str, _matching("wss?://[^/].*", "an address that begins with ws:// or wss://")]
RestUrl = Annotated[str, _matching("https?://[^/].*", "an address that begins with http:// or https://")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Instrument(_Section):
    """A symbol that needs more than its name to be found at the vendor.

    It is stored as `store_as`, by default the symbol with the exchange that was named: `RY:XTSE`.
    """

    symbol: VendorSymbol
    mic_code: Word | None = None
    exchange: Word | None = None
    type: Word | None = None
    store_as: Symbol | None = None

    @property
    def name(self) -> str:
        exchange = self.mic_code or self.exchange
        plain = f"{self.symbol}:{exchange}".replace(" ", "_") if exchange else self.symbol
        return self.store_as or plain


def _plain_or_object(value: object) -> str:
    return _OBJECT if isinstance(value, dict | Instrument) else _PLAIN


_PLAIN, _OBJECT = "[plain]", "[object]"  # pydantic shows them in the path of an error
Subscription = Annotated[
    Annotated[VendorSymbol, Tag(_PLAIN)] | Annotated[Instrument, Tag(_OBJECT)], Discriminator(_plain_or_object)
]


class Feed(_Section):
    """One websocket connection and the symbols asked of it.

    `url` is where it connects to when that is not CANDLEWORKS_FEED_URL.
    """

    name: Name = "twelvedata"
    symbols: tuple[Subscription, ...] = Field(default=DEFAULT_SYMBOLS, min_length=1)
    url: FeedUrl | None = None

    @field_validator("symbols")
    @classmethod
    def _each_symbol_once(cls, symbols: tuple[str | Instrument, ...]) -> tuple[str | Instrument, ...]:
        names = [_stored_name(symbol) for symbol in symbols]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"each symbol once ({', '.join(repeated)} is repeated)")
        return symbols

    @property
    def instruments(self) -> dict[str, str | Instrument]:
        """What to ask the vendor for, by the name under which its ticks are stored."""
        return {_stored_name(symbol): symbol for symbol in self.symbols}

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols as they are stored."""
        return tuple(self.instruments)

    @property
    def tickers(self) -> tuple[str, ...]:
        """The symbols as the vendor lists them, without what singles them out."""
        return tuple(symbol if isinstance(symbol, str) else symbol.symbol for symbol in self.symbols)


def _stored_name(symbol: str | Instrument) -> str:
    return symbol if isinstance(symbol, str) else symbol.name


class Ingest(_Section):
    """How ticks are gathered on their way to the database."""

    max_batch_rows: StrictInt = Field(default=5_000, ge=1, le=100_000)
    flush_interval_ms: StrictInt = Field(default=100, ge=1, le=10_000)
    max_buffered_ticks: StrictInt = Field(default=200_000, ge=1_000, le=10_000_000)
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    max_spool_bytes: StrictInt = Field(default=1_073_741_824, ge=1_048_576)


class Silence(_Section):
    """How long a symbol may say nothing while its market is open before that counts as a gap.

    `symbols` names exceptions. A feed of which nothing at all comes for as long is connected anew.
    """

    around_the_clock_seconds: StrictInt = Field(default=60, ge=5, le=86_400)
    session_seconds: StrictInt = Field(default=600, ge=5, le=86_400)
    symbols: dict[Symbol, SilenceSeconds] = Field(default_factory=dict)


class Candles(_Section):
    """How often stored candles catch up with ticks while `ingest` runs."""

    refresh_interval_seconds: StrictFloat = Field(default=1.0, ge=0.1, le=3_600)


class Calendars(_Section):
    """Which exchange calendar a symbol's trading day follows.

    `symbols` maps a symbol to FX or a calendar name of exchange_calendars; of those not named, pairs of currencies such
    as `EUR/USD` follow FX, other pairs such as `BTC/USD` trade around the clock, everything else follows `stocks`.
    """

    stocks: CalendarName = "XNYS"
    symbols: dict[Symbol, CalendarName] = Field(default_factory=dict)


class CompressAfterDays(_Section):
    """When TimescaleDB compresses what is older than so many days; null: never."""

    stocks_real_time: StrictInt | None = Field(default=7, ge=1, le=36_500)
    quotes: StrictInt | None = Field(default=7, ge=1, le=36_500)
    candles: StrictInt | None = Field(default=90, ge=1, le=36_500)


class RetentionDays(_Section):
    """When rows older than so many days go; null: never. Candles always stay."""

    stocks_real_time: StrictInt | None = Field(default=None, ge=7, le=36_500)
    quotes: StrictInt | None = Field(default=None, ge=7, le=36_500)
    rejected_ticks: StrictInt | None = Field(default=365, ge=1, le=36_500)
    ingest_stats: StrictInt | None = Field(default=90, ge=1, le=36_500)
    quality_results: StrictInt | None = Field(default=90, ge=1, le=36_500)


class Storage(_Section):
    """How the database keeps ticks. The chunk interval counts when the tables are created."""

    chunk_interval_days: StrictInt = Field(default=1, ge=1, le=365)
    compress_after_days: CompressAfterDays = CompressAfterDays()
    retention_days: RetentionDays = RetentionDays()


class Watch(_Section):
    """When `alerts watch` raises an alarm by itself, in seconds.

    No statistics of a feed's ingest, no tick of a feed whose exchanges are open, no database.
    """

    interval_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    ingest_away_seconds: StrictInt = Field(default=60, ge=15, le=86_400)
    feed_silent_seconds: StrictInt = Field(default=120, ge=15, le=86_400)
    database_away_seconds: StrictFloat = Field(default=15.0, ge=0, le=86_400)
    max_spool_depth: StrictInt = Field(default=50_000, ge=1, le=1_000_000_000)


class Rest(_Section):
    """How the vendor's REST interface is asked, by all processes together: what the plan of the key allows.

    `credits_per_day` is None where the plan has no daily limit.
    """

    credits_per_minute: StrictInt = Field(default=8, ge=1, le=100_000)
    credits_per_day: StrictInt | None = Field(default=800, ge=1, le=100_000_000)
    timeout_seconds: StrictInt = Field(default=30, ge=1, le=300)
    attempts: StrictInt = Field(default=3, ge=1, le=10)
    settle_seconds: StrictInt = Field(default=60, ge=0, le=86_400)


class Alerts(_Section):
    """When alerts escalate and end, what their messages link to, and how long to wait for receivers that fail.

    An alert escalates once it failed so often and lasts so long. The page is that of `candleworks serve` (null: the one
    on this machine); the dashboard's address is given whole.
    """

    escalate_after_failures: StrictInt = Field(default=3, ge=2, le=1_000_000)
    escalate_after_seconds: StrictInt = Field(default=300, ge=0, le=31_536_000)
    resolve_after_passes: StrictInt = Field(default=2, ge=1, le=100)
    page_url: RestUrl | None = None
    dashboard_url: RestUrl | None = None
    retry_first_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    retry_longest_seconds: StrictFloat = Field(default=600.0, ge=0.1, le=86_400)
    watch: Watch = Watch()


class TickThresholds(_Section):
    """What is normal for the ticks of a symbol; what an exception leaves out is inherited."""

    required: tuple[RequiredField, ...] = Field(default=("time", "symbol", "price", "received_at"), min_length=1)
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    max_age_seconds: StrictInt = Field(default=3_600, ge=1, le=31_536_000)
    jump_percent: StrictFloat = Field(default=20.0, gt=0, le=10_000)
    jump_mad: StrictFloat = Field(default=30.0, gt=0, le=10_000)
    jump_mad_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    jump_closed_percent: StrictFloat = Field(default=45.0, gt=0, le=10_000)
    volume_back_percent: StrictFloat = Field(default=5.0, gt=0, le=100)
    max_spread_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    max_silence_seconds: StrictInt = Field(default=900, ge=5, le=31_536_000)
    never_seen_seconds: StrictInt = Field(default=900, ge=5, le=31_536_000)
    min_rate_percent: StrictFloat = Field(default=10.0, gt=0, le=100)


class TickQuality(TickThresholds):
    """Thresholds of the checks of ticks: for all, for a class of symbols, for one symbol; the narrowest counts."""

    classes: dict[SymbolClass, TickThresholds] = Field(
        default={"forex": TickThresholds(jump_percent=3.0, jump_mad_percent=1.0, jump_closed_percent=5.0)}
    )
    symbols: dict[Symbol, TickThresholds] = Field(default_factory=dict)
    max_feed_silence_seconds: StrictInt = Field(default=300, ge=5, le=31_536_000)
    max_duplicates_percent: StrictFloat = Field(default=20.0, gt=0, le=100)

    def of(self, symbol: str, symbol_class: SymbolClass) -> TickThresholds:
        """Return what counts for the symbol."""
        levels = (self, self.classes.get(symbol_class), self.symbols.get(symbol))
        return TickThresholds(**_narrowest(levels, TickThresholds))


class CandleThresholds(_Section):
    """What is normal for the candles of a symbol; what an exception leaves out is inherited."""

    max_empty_minutes: StrictInt = Field(default=15, ge=1, le=10_000)
    bar_tolerance_percent: StrictFloat = Field(default=0.5, gt=0, le=100)


class CandleQuality(CandleThresholds):
    """Thresholds of the checks of candles, as those of ticks; how many symbols are sampled in a run."""

    classes: dict[SymbolClass, CandleThresholds] = Field(default_factory=dict)
    symbols: dict[Symbol, CandleThresholds] = Field(default_factory=dict)
    audited_symbols: StrictInt = Field(default=5, ge=1, le=10_000)
    vendor_symbols: StrictInt = Field(default=1, ge=0, le=100)

    def of(self, symbol: str, symbol_class: SymbolClass) -> CandleThresholds:
        """Return what counts for the symbol."""
        levels = (self, self.classes.get(symbol_class), self.symbols.get(symbol))
        return CandleThresholds(**_narrowest(levels, CandleThresholds))


class SystemQuality(_Section):
    """Thresholds of the checks of the platform itself."""

    max_lag_ms: StrictInt = Field(default=5_000, ge=1, le=86_400_000)
    max_spool_ticks: StrictInt = Field(default=50_000, ge=0, le=1_000_000_000)
    max_open_gap_seconds: StrictInt = Field(default=300, ge=1, le=31_536_000)
    max_unfilled_gap_hours: StrictInt = Field(default=24, ge=1, le=8_760)
    max_rejected_percent: StrictFloat = Field(default=1.0, gt=0, le=100)
    max_refresh_lag_seconds: StrictInt = Field(default=300, ge=1, le=86_400)
    min_free_disk_mb: StrictInt = Field(default=1_000, ge=1, le=1_000_000_000)


class Quality(_Section):
    """What checks expect, by suite. `disabled` names checks that do not run."""

    disabled: tuple[Name, ...] = ()
    ticks: TickQuality = TickQuality()
    candles: CandleQuality = CandleQuality()
    system: SystemQuality = SystemQuality()


def _narrowest(levels: Sequence[_Section | None], kind: type[_Section]) -> dict[str, Any]:
    """Merge what was set at each level, the narrowest last; the built-in defaults fill the rest."""
    return {
        name: getattr(level, name)
        for level in levels
        if level is not None
        for name in kind.model_fields
        if name in level.model_fields_set
    }


class Simulator(_Section):
    """The simulated feed that runs while no API key is set."""

    rate: StrictFloat = Field(default=20.0, gt=0, le=1_000_000)
    seed: StrictInt = Field(default=1, ge=0)


class _File(_Section):
    feeds: tuple[Feed, ...] = Field(default=(Feed(),), min_length=1)
    ingest: Ingest = Ingest()
    silence: Silence = Silence()
    candles: Candles = Candles()
    calendars: Calendars = Calendars()
    storage: Storage = Storage()
    rest: Rest = Rest()
    simulator: Simulator = Simulator()
    alerts: Alerts = Alerts()
    quality: Quality = Quality()

    @field_validator("feeds")
    @classmethod
    def _distinct_names(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        names = [feed.name for feed in feeds]
        if len(set(names)) != len(names):
            raise ValueError(f"a name of its own for each feed (the names are {', '.join(names)})")
        return feeds


class Settings(_File):
    """The whole configuration. Secrets are masked wherever it is printed."""

    dsn: SecretStr | None = None
    home: Path = Path(".candleworks")
    feed_url: FeedUrl = VENDOR_FEED_URL
    rest_url: RestUrl = VENDOR_REST_URL
    web_port: Port = 8050
    prefect_port: Port = 4200
    timescaledb: Path | None = None
    reader_password: SecretStr | None = None
    grafana_home: Path | None = None
    grafana_port: Port = 3000
    api_key: SecretStr | None = None
    alert_urls: tuple[SecretStr, ...] = ()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("home", "timescaledb", "grafana_home")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        try:
            return path.expanduser().resolve() if path else None
        except RuntimeError:
            raise ValueError("a directory, and ~ only for users that exist") from None

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _addresses(cls, addresses: object) -> object:
        if not isinstance(addresses, str):
            return addresses
        # A comma may stand inside an address: only one before the next address divides.
        parts = re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", addresses.strip(", \t\r\n"))
        if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", part) for part in parts):
            raise ValueError("addresses of apprise such as json://host/path, separated by commas")
        return parts

    @property
    def page_url(self) -> str:
        """The address of the page that `candleworks serve` serves, without a slash at its end."""
        return (self.alerts.page_url or f"http://127.0.0.1:{self.web_port}").rstrip("/")

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
    "CANDLEWORKS_PREFECT_PORT": "prefect_port",
    "CANDLEWORKS_TIMESCALEDB": "timescaledb",
    "CANDLEWORKS_READER_PASSWORD": "reader_password",
    "CANDLEWORKS_GRAFANA_HOME": "grafana_home",
    "CANDLEWORKS_GRAFANA_PORT": "grafana_port",
    "CANDLEWORKS_LOG_LEVEL": "log_level",
    "CANDLEWORKS_ALERT_URLS": "alert_urls",
    "TWELVEDATA_API_KEY": "api_key",
}
CONFIG_VARIABLE = "CANDLEWORKS_CONFIG"
CONFIG_FILE = "candleworks.yaml"
_SECRETS = frozenset({"dsn", "api_key", "alert_urls", "reader_password"})
# What is allowed where pydantic says it in the terms of a programmer; the rest of its messages are used as they are.
_ALLOWED = {
    "string_type": "a text (in quotes where YAML takes it for something else)",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "too_short": "a list of at least {min_length}",
    "invalid_key": "a text as the key",
    "literal_error": "{expected}",
}


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
        return Settings.model_validate(file_part.model_dump(exclude_unset=True) | from_environment)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, "the environment")) from None


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(
                f"The configuration {path} named by {CONFIG_VARIABLE} does not exist: create it, or correct the path."
            ) from None
        return {}
    except OSError as error:
        raise ConfigurationError(
            f"The configuration {path} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigurationError(f"The configuration {path} is no YAML ({reason}): correct it.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"The configuration {path} is {content!r}, allowed are keys such as `feeds:`.")
    return content


def _explain(error: ValidationError, source: str) -> str:
    problem = error.errors(include_url=False)[0]
    keys = [part for part in problem["loc"] if part not in ("[key]", _PLAIN, _OBJECT)]  # pydantic's marks
    path = ".".join(map(str, keys))
    if source == "the environment":
        path = {key: name for name, key in ENVIRONMENT.items()}.get(path, path)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {path} is no known key, allowed here are {_keys_at(keys[:-1])}."
    value = "(secret)" if keys[0] in _SECRETS else repr(problem["input"])
    return f"{source}: {path} is {value}, allowed is {_allowed(problem)}."


def _allowed(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind == "model_type":
        return f"a section with the keys {_keys_at(problem['loc'])}"
    if kind.startswith(("int_", "float_", "greater_", "less_")):
        return _range(_model_at(problem["loc"][:-1]).model_fields[str(problem["loc"][-1])])
    if kind in _ALLOWED:
        return _ALLOWED[kind].format_map(problem.get("ctx", {}))
    return problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _range(field: FieldInfo) -> str:
    """Say which numbers a field takes; every number has a lower bound here, and most an upper one."""
    bounds = {type(bound): bound for bound in field.metadata}
    text = "a number" if field.annotation is float else "a whole number"
    if Gt in bounds:
        return f"{text} above {bounds[Gt].gt:,} and at most {bounds[Le].le:,}"
    return f"{text} from {bounds[Ge].ge:,} " + (f"to {bounds[Le].le:,}" if Le in bounds else "up")


def _keys_at(path: Sequence[int | str]) -> str:
    """Name the keys that may stand at `path` of the file."""
    model = _model_at(path) if path else _File
    return ", ".join(sorted(model.model_fields))


def _model_at(path: Sequence[int | str]) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for part in path:
        if part not in model.model_fields:
            continue  # the position in a list, or the key of an exception
        field = model.model_fields[str(part)]
        exceptions = get_args(field.annotation)[1:] if get_origin(field.annotation) is dict else ()
        if exceptions and issubclass(exceptions[0], BaseModel):
            model = exceptions[0]
        else:
            inner = field.default
            model = type(inner[0] if isinstance(inner, tuple) else inner)
            if model is str:
                model = Instrument
    return model
