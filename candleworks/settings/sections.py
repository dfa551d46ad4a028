"""The sections of the configuration file, but for feeds and quality."""

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from candleworks.settings.value_types import CalendarName, RestUrl, Section, SilenceSeconds, Symbol


class Ingest(Section):
    """Which ticks are accepted, and how they are gathered on their way to the database.

    A price, bid or ask of 0 is rejected unless `accept_zero_prices`, live and from files; negative ones always are.
    Live ticks are also compared with what is known: with the clock, and with the symbol's last price, until so many in
    a row confirm the new one. None: not compared.
    """

    max_batch_rows: StrictInt = Field(default=5_000, ge=1, le=100_000)
    flush_interval_ms: StrictInt = Field(default=100, ge=1, le=10_000)
    max_buffered_ticks: StrictInt = Field(default=200_000, ge=1_000, le=10_000_000)
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    max_age_days: StrictInt | None = Field(default=30, ge=1, le=36_500)
    max_price_factor: StrictFloat | None = Field(default=10.0, ge=1.5, le=1_000_000)
    price_confirming_ticks: StrictInt = Field(default=3, ge=2, le=100)
    accept_zero_prices: StrictBool = False
    max_spool_bytes: StrictInt = Field(default=1_073_741_824, ge=1_048_576)


class Silence(Section):
    """How long a symbol may say nothing while its market is open before that counts as a gap.

    `symbols` names exceptions. A feed of which nothing at all comes for as long is connected anew.
    """

    around_the_clock_seconds: StrictInt = Field(default=60, ge=5, le=86_400)
    session_seconds: StrictInt = Field(default=600, ge=5, le=86_400)
    symbols: dict[Symbol, SilenceSeconds] = Field(default_factory=dict)


class Candles(Section):
    """How often stored candles catch up with ticks while `ingest` runs."""

    refresh_interval_seconds: StrictFloat = Field(default=1.0, ge=0.1, le=3_600)


class Calendars(Section):
    """Which exchange calendar a symbol's trading day follows.

    `symbols` maps a symbol to FX or a calendar name of exchange_calendars; of those not named, pairs of currencies such
    as `EUR/USD` follow FX, other pairs such as `BTC/USD` trade around the clock, everything else follows `stocks`.
    """

    stocks: CalendarName = "XNYS"
    symbols: dict[Symbol, CalendarName] = Field(default_factory=dict)


class CompressAfterDays(Section):
    """When TimescaleDB compresses what is older than so many days; null: never."""

    stocks_real_time: StrictInt | None = Field(default=7, ge=1, le=36_500)
    quotes: StrictInt | None = Field(default=7, ge=1, le=36_500)
    candles: StrictInt | None = Field(default=90, ge=1, le=36_500)


class RetentionDays(Section):
    """When rows older than so many days go; null: never. Candles, unresolved alerts and open gaps always stay."""

    stocks_real_time: StrictInt | None = Field(default=None, ge=7, le=36_500)
    quotes: StrictInt | None = Field(default=None, ge=7, le=36_500)
    rejected_ticks: StrictInt | None = Field(default=365, ge=1, le=36_500)
    ingest_stats: StrictInt | None = Field(default=90, ge=1, le=36_500)
    quality_results: StrictInt | None = Field(default=90, ge=1, le=36_500)
    alerts: StrictInt | None = Field(default=365, ge=1, le=36_500)
    feed_gaps: StrictInt | None = Field(default=730, ge=1, le=36_500)


class Storage(Section):
    """How the database keeps ticks. The chunk interval counts when the tables are created.

    `migrate` says who may change the schema: `up` and `ingest` as well (auto), or `candleworks migrate` alone (manual).
    """

    migrate: Literal["auto", "manual"] = "auto"
    chunk_interval_days: StrictInt = Field(default=1, ge=1, le=365)
    compress_after_days: CompressAfterDays = CompressAfterDays()
    retention_days: RetentionDays = RetentionDays()


class Watch(Section):
    """When `alerts watch` fires an alert by itself, in seconds.

    No statistics of a feed's ingest, no tick of a feed whose exchanges are open, no scheduled checks, no database.
    """

    interval_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    ingest_away_seconds: StrictInt = Field(default=60, ge=15, le=86_400)
    feed_silent_seconds: StrictInt = Field(default=120, ge=15, le=86_400)
    checks_away_seconds: StrictInt = Field(default=1_800, ge=300, le=86_400)
    database_away_seconds: StrictFloat = Field(default=15.0, ge=0, le=86_400)
    max_spool_depth: StrictInt = Field(default=50_000, ge=1, le=1_000_000_000)


class Rest(Section):
    """How the vendor's REST interface is asked, by all processes together: what the plan of the key allows.

    `credits_per_day` is None where the plan has no daily limit.
    """

    credits_per_minute: StrictInt = Field(default=8, ge=1, le=100_000)
    credits_per_day: StrictInt | None = Field(default=800, ge=1, le=100_000_000)
    timeout_seconds: StrictInt = Field(default=30, ge=1, le=300)
    attempts: StrictInt = Field(default=3, ge=1, le=10)
    settle_seconds: StrictInt = Field(default=60, ge=0, le=86_400)


class Alerts(Section):
    """When alerts escalate and are resolved, what notifications link to, and how long to wait for recipients that fail.

    An alert escalates once it failed so often and lasts so long. The page is that of `candleworks serve` (null: the one
    on this machine, which opens nowhere else); the dashboard's address is given whole.
    """

    escalate_after_failures: StrictInt = Field(default=3, ge=2, le=1_000_000)
    escalate_after_seconds: StrictInt = Field(default=300, ge=0, le=31_536_000)
    resolve_after_passes: StrictInt = Field(default=2, ge=1, le=100)
    page_url: RestUrl | None = None
    dashboard_url: RestUrl | None = None
    retry_first_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    retry_longest_seconds: StrictFloat = Field(default=600.0, ge=0.1, le=86_400)
    watch: Watch = Watch()


class Simulator(Section):
    """The simulated feed that runs while no API key is set."""

    rate: StrictFloat = Field(default=20.0, gt=0, le=1_000_000)
    seed: StrictInt = Field(default=1, ge=0)
