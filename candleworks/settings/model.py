"""The whole configuration: the file and the environment."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from candleworks.errors import ConfigurationError
from candleworks.settings.feeds import Feed, some
from candleworks.settings.quality import Quality
from candleworks.settings.sections import (
    Alerts,
    Calendars,
    Candles,
    Ingest,
    Rest,
    SilenceLimits,
    Simulator,
    Storage,
    Web,
)
from candleworks.settings.value_types import VENDOR_FEED_URL, VENDOR_REST_URL, FeedUrl, Port, RestUrl, Section

BACKFILL_DAYS = 5  # two API credits a symbol
SIMULATED_BACKFILL_DAYS = 30


class File(Section):
    """What `candleworks.yaml` may hold."""

    feeds: tuple[Feed, ...] = Field(default=(Feed(),), min_length=1)
    ingest: Ingest = Ingest()
    silence: SilenceLimits = SilenceLimits()
    candles: Candles = Candles()
    calendars: Calendars = Calendars()
    storage: Storage = Storage()
    rest: Rest = Rest()
    simulator: Simulator = Simulator()
    alerts: Alerts = Alerts()
    web: Web = Web()
    quality: Quality = Quality()

    @field_validator("feeds")
    @classmethod
    def _distinct_names(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        names = [feed.name for feed in feeds]
        if len(set(names)) != len(names):
            raise ValueError(f"a unique name for each feed (the names are {', '.join(names)})")
        return feeds

    @field_validator("feeds")
    @classmethod
    def _each_symbol_in_one_feed(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        """Two feeds would store each tick of it twice; `store_as` distinguishes two listings."""
        found: dict[str, str] = {}
        for feed in feeds:
            if shared := sorted(name for name in feed.names if name in found):
                raise ValueError(f"each symbol in one feed ({some(shared)} in {found[shared[0]]} and in {feed.name})")
            found |= dict.fromkeys(feed.names, feed.name)
        return feeds


class Settings(File):
    """The whole configuration. Secrets are masked wherever it is printed."""

    dsn: SecretStr | None = None
    """Connection string of the PostgreSQL or TimescaleDB server to use. Unset: an embedded server."""
    home: Path = Path(".candleworks")
    """Directory of the embedded server's data, the spool and the logs."""
    feed_url: FeedUrl = VENDOR_FEED_URL
    """WebSocket URL of the vendor."""
    rest_url: RestUrl = VENDOR_REST_URL
    """URL of the vendor's REST interface."""
    shows_simulated: bool = False
    """The vendor is simulated: the chart page says so, and requests take no credits. Set by `up`."""
    web_port: Port = 8050
    """Port of the chart page on the loopback interface."""
    prefect_port: Port = 4200
    """Port of the Prefect server that `up` starts, on the loopback interface."""
    postgres: Path | None = None
    """PostgreSQL for the embedded server: a directory with `bin/`. Unset: the one installed with candleworks."""
    timescaledb: Path | None = None
    """TimescaleDB build for the embedded server: a directory with `lib/` and `share/extension/`."""
    reader_password: SecretStr | None = None
    """Password that `candleworks reader` sets for the role `candleworks_reader`."""
    grafana_home: Path | None = None
    """Directory of an installed Grafana, with `bin/` and `conf/`. Unset: Grafana is looked up in `PATH`."""
    grafana_port: Port = 3000
    """Port of Grafana on the loopback interface."""
    api_key: SecretStr | None = None
    """API key for live data. Unset: a simulated feed."""
    alert_urls: tuple[SecretStr, ...] = ()
    """Recipients of notifications: apprise URLs, separated by commas. Unset: notifications go to the log."""
    alertmanager_url: SecretStr | None = None
    """Prometheus's Alertmanager, such as http://127.0.0.1:9093, which gets all firing alerts as well. Unset: none."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""

    @field_validator("home", "postgres", "timescaledb", "grafana_home")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        try:
            return path.expanduser().resolve() if path else None
        except RuntimeError:
            raise ValueError("a directory, with ~ only for an existing user") from None

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _addresses(cls, addresses: object) -> object:
        if not isinstance(addresses, str):
            return addresses
        # A URL may contain commas: only one before the next URL separates.
        parts = re.split(r"(?<![\s,])[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", addresses.strip(", \t\r\n"))
        if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", part) for part in parts):
            raise ValueError("comma-separated Apprise URLs such as json://host/path")
        return parts

    @field_validator("alertmanager_url")
    @classmethod
    def _web_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/]\S*", url.get_secret_value()):
            raise ValueError("a URL such as http://127.0.0.1:9093")
        return url

    @property
    def page_url(self) -> str:
        """The URL of the page that `candleworks serve` serves, without a trailing slash."""
        return (self.alerts.page_url or f"http://127.0.0.1:{self.web_port}").rstrip("/")

    @property
    def simulated(self) -> bool:
        """Whether `up` has to simulate the feed: there is neither a key nor another URL to get ticks from."""
        return self.api_key is None and self.feed_url == VENDOR_FEED_URL

    def backfill_days(self, feed: Feed) -> int:
        """Return how many days of history a new symbol of the feed gets."""
        if feed.backfill_days is not None:
            return feed.backfill_days
        return SIMULATED_BACKFILL_DAYS if self.shows_simulated else BACKFILL_DAYS

    def feed(self, name: str | None) -> Feed:
        """Return the feed called `name`, or the only one; ConfigurationError for an unknown or ambiguous name."""
        if name is None and len(self.feeds) == 1:
            return self.feeds[0]
        for feed in self.feeds:
            if feed.name == name:
                return feed
        known = ", ".join(feed.name for feed in self.feeds)
        raise ConfigurationError(f"There is no feed {name!r} in the configuration: choose one of {known}.")
