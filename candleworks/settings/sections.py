"""The sections of the configuration file, but for feeds and quality."""

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from candleworks.settings.value_types import CalendarName, PageUrl, Section, SilenceSeconds, Symbol

SILENCE_ALERT_FACTOR = 2


class Ingest(Section):
    """Which ticks are accepted, and how they are batched on their way to the database.

    Live ticks are compared with the clock and with the last price of their symbol.
    """

    max_batch_rows: StrictInt = Field(default=5_000, ge=1, le=100_000)
    """A batch is written when it holds this many ticks."""
    flush_interval_ms: StrictInt = Field(default=100, ge=1, le=10_000)
    """Longest time that a tick waits in a batch. A batch is written after six commits' time where that is shorter."""
    max_buffered_ticks: StrictInt = Field(default=200_000, ge=1_000, le=10_000_000)
    """Ticks that may wait in memory for the database before reading from the feed slows down."""
    max_buffered_bytes: StrictInt = Field(default=134_217_728, ge=16_777_216, le=17_179_869_184)
    """Memory that the ticks of a feed may take while they wait, before reading from the feed slows down. A usual tick
    takes some 500 bytes."""
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    """Live ticks with an event time further ahead of the clock are rejected."""
    max_age_days: StrictInt | None = Field(default=30, ge=1, le=36_500)
    """Live ticks with an event time longer ago are rejected. null: no limit."""
    max_price_factor: StrictFloat | None = Field(default=10.0, ge=1.5, le=1_000_000)
    """Live prices more than this many times above or below the last known price are rejected. null: no limit."""
    price_confirming_ticks: StrictInt = Field(default=3, ge=2, le=100)
    """Consecutive ticks that must agree on a price outside `max_price_factor` before it is accepted."""
    accept_zero_prices: StrictBool = False
    """Accept a price, bid or ask of 0, from feeds and from files. Negative prices are always rejected."""
    max_spool_bytes: StrictInt = Field(default=1_073_741_824, ge=1_048_576)
    """Largest size of the spool of a feed: ticks on disk while the database is unavailable."""


class SilenceLimits(Section):
    """How long a feed or a symbol may have no ticks while its market is open.

    A feed that is silent for longer reconnects, and a longer silence of a symbol is recorded as a gap. Silence of twice
    the limit fires an alert: [watch-feed](../reference/checks.md#the-watchdog) for a feed,
    [freshness](../checks/freshness.md) or [never-seen](../checks/never-seen.md) for a symbol.
    """

    feed_seconds: StrictInt = Field(default=60, ge=5, le=86_400)
    """For all symbols of a feed together."""
    around_the_clock_seconds: StrictInt = Field(default=60, ge=5, le=86_400)
    """For symbols that trade around the clock, such as `BTC/USD`."""
    session_seconds: StrictInt = Field(default=600, ge=5, le=86_400)
    """For all other symbols."""
    symbols: dict[Symbol, SilenceSeconds] = Field(default_factory=dict)
    """Exceptions by symbol, in seconds from 5 to 86,400, for example `{BRK.A: 3600}`."""

    def of_symbol(self, symbol: str, *, around_the_clock: bool) -> int:
        """Return how many seconds a symbol may be silent while its market is open."""
        seconds = self.around_the_clock_seconds if around_the_clock else self.session_seconds
        return self.symbols.get(symbol, seconds)

    def alert_of_symbol(self, symbol: str, *, around_the_clock: bool) -> int:
        """Return after how many seconds the silence of a symbol fires an alert."""
        return SILENCE_ALERT_FACTOR * self.of_symbol(symbol, around_the_clock=around_the_clock)

    @property
    def alert_of_feed(self) -> int:
        """After how many seconds the silence of a feed fires an alert: reconnecting has not helped."""
        return SILENCE_ALERT_FACTOR * self.feed_seconds


class Candles(Section):
    """How often stored candles are refreshed while `ingest` runs."""

    refresh_interval_seconds: StrictFloat = Field(default=1.0, ge=0.1, le=3_600)
    """Interval between refreshes of stored candles while a feed runs."""


class Calendars(Section):
    """Which exchange calendar the trading day of a symbol follows.

    Names are `FX` and those of exchange_calendars. Currency pairs such as `EUR/USD` follow `FX`, other pairs such as
    `BTC/USD` trade around the clock, all other symbols follow `stocks`.
    """

    stocks: CalendarName = "XNYS"
    """Calendar of symbols without a slash."""
    symbols: dict[Symbol, CalendarName] = Field(default_factory=dict)
    """Exceptions by symbol, for example `{RY: XTSE}`."""


class CompressAfterDays(Section):
    """Age in days from which TimescaleDB compresses rows. null: never."""

    stocks_real_time: StrictInt | None = Field(default=7, ge=1, le=36_500)
    """Trades."""
    quotes: StrictInt | None = Field(default=7, ge=1, le=36_500)
    """Quotes."""
    candles: StrictInt | None = Field(default=90, ge=1, le=36_500)
    """Candles of every level."""


class RetentionDays(Section):
    """Age in days from which rows are dropped. null: never. Candles, unresolved alerts and open gaps are kept."""

    stocks_real_time: StrictInt | None = Field(default=None, ge=7, le=36_500)
    """Trades."""
    quotes: StrictInt | None = Field(default=None, ge=7, le=36_500)
    """Quotes."""
    rejected_ticks: StrictInt | None = Field(default=365, ge=1, le=36_500)
    """Rejected ticks."""
    ingest_stats: StrictInt | None = Field(default=90, ge=1, le=36_500)
    """Statistics of the feeds."""
    quality_results: StrictInt | None = Field(default=90, ge=1, le=36_500)
    """Results of checks. The latest result of each check and subject is always kept."""
    alerts: StrictInt | None = Field(default=365, ge=1, le=36_500)
    """Resolved alerts, with their events and deliveries."""
    feed_gaps: StrictInt | None = Field(default=730, ge=1, le=36_500)
    """Closed gaps."""


class Storage(Section):
    """How the database stores ticks, and which commands may change the schema."""

    migrate: Literal["auto", "manual"] = "auto"
    """`auto`: `up` and `ingest` apply migrations, as `migrate` does. `manual`: only `candleworks migrate` does."""
    chunk_interval_days: StrictInt = Field(default=1, ge=1, le=365)
    """Chunk interval of the tick hypertables on TimescaleDB. Used when the tables are created."""
    compress_after_days: CompressAfterDays = CompressAfterDays()
    retention_days: RetentionDays = RetentionDays()


class WatchdogLimits(Section):
    """When the watchdog, `candleworks alerts watch`, fires an alert."""

    interval_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    """Interval between two evaluations."""
    ingest_away_seconds: StrictInt = Field(default=60, ge=15, le=86_400)
    """An alert fires when the ingest of a feed has had no heartbeat for this long (before its first: thrice)."""
    checks_away_seconds: StrictInt = Field(default=1_800, ge=300, le=86_400)
    """An alert fires when scheduled checks have not run for this long."""
    database_away_seconds: StrictFloat = Field(default=15.0, ge=0, le=86_400)
    """An alert fires when the database has not answered for this long."""
    max_spool_ticks: StrictInt = Field(default=50_000, ge=1, le=1_000_000_000)
    """An alert fires when more ticks of a feed wait for the database."""


class Rest(Section):
    """How the vendor's REST interface is used. The limits are those of the key's plan, shared by all processes."""

    credits_per_minute: StrictInt = Field(default=8, ge=1, le=100_000)
    """API credits per minute."""
    credits_per_day: StrictInt | None = Field(default=800, ge=1, le=100_000_000)
    """API credits per UTC day. null: no limit."""
    timeout_seconds: StrictInt = Field(default=30, ge=1, le=300)
    """Timeout of a request."""
    attempts: StrictInt = Field(default=3, ge=1, le=10)
    """Attempts per request. Each costs a credit."""
    settle_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    """A gap is filled when its last minute ended this long ago."""


class Alerts(Section):
    """When alerts escalate and are resolved, what notifications link to, and how deliveries are retried."""

    escalate_after_failures: StrictInt = Field(default=3, ge=2, le=1_000_000)
    """An alert escalates when its check has failed this often ..."""
    escalate_after_seconds: StrictInt = Field(default=300, ge=0, le=31_536_000)
    """... and it has been firing for this long."""
    resolve_after_passes: StrictInt = Field(default=2, ge=1, le=100)
    """An alert is resolved when its check has passed this often in a row."""
    page_url: PageUrl | None = None
    """URL of the chart page in notifications. null: `http://127.0.0.1:CANDLEWORKS_WEB_PORT`, which opens only on this
    machine."""
    dashboard_url: PageUrl | None = None
    """URL of a dashboard that notifications link to. null: none."""
    retry_first_seconds: StrictFloat = Field(default=5.0, ge=0.1, le=3_600)
    """Delay before the first retry of a delivery that failed. Later delays grow."""
    retry_longest_seconds: StrictFloat = Field(default=600.0, ge=0.1, le=86_400)
    """Longest delay between two attempts of a delivery."""
    watch: WatchdogLimits = WatchdogLimits()


class Web(Section):
    """How many requests the chart page's server answers for each client address. Files of the page are not counted."""

    requests_per_second: StrictFloat = Field(default=50.0, ge=0.1, le=1_000_000)
    """Requests per second that are answered for long."""
    request_burst: StrictInt = Field(default=200, ge=1, le=1_000_000)
    """Requests that are answered at once after a pause."""


class Simulator(Section):
    """The simulated feed, used while no API key is set."""

    rate: StrictFloat = Field(default=20.0, gt=0, le=1_000_000)
    """Ticks per second over all symbols."""
    seed: StrictInt = Field(default=1, ge=0)
    """Seed of the random prices."""
