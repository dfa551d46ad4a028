"""`/metrics` in Prometheus' text format. docs/reference/metrics.md says what each metric means."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from candleworks import __version__, clock
from candleworks.candles.reads import CandleReader
from candleworks.errors import CandleworksError
from candleworks.storage.inspection import LevelState
from candleworks.storage.monitoring import FeedState, Monitoring, RefusedSymbol, read_monitoring
from candleworks.stream import Hub
from candleworks.web.openapi import answers

Samples = Iterable[tuple[Sequence[str], float | None]]

_COUNTERS: Sequence[tuple[str, str, Callable[[FeedState], int]]] = (
    ("candleworks_ticks", "Ticks stored by the live path.", lambda feed: feed.ticks),
    ("candleworks_batches", "Batches committed by the live path.", lambda feed: feed.batches),
    ("candleworks_reconnects", "Connections to the vendor that had to be opened again.", lambda feed: feed.reconnects),
    ("candleworks_duplicate_ticks", "Ticks received that were stored already.", lambda feed: feed.duplicates),
    ("candleworks_rejected_ticks", "Ticks rejected and kept in rejected_ticks.", lambda feed: feed.rejected),
    ("candleworks_quotes", "Quotes stored by the live path.", lambda feed: feed.quotes),
    ("candleworks_duplicate_quotes", "Quotes received that were stored already.", lambda feed: feed.duplicate_quotes),
    ("candleworks_rejected_quotes", "Quotes rejected, their ticks stored.", lambda feed: feed.rejected_quotes),
    (
        "candleworks_candles_refreshed",
        "Stored candles changed (on TimescaleDB: refreshed) by the feed's process.",
        lambda f: f.candles,
    ),
)
_EXAMPLE = (
    "# HELP candleworks_up 1 while the database answers, else 0.\n# TYPE candleworks_up gauge\ncandleworks_up 1.0\n"
)


def metric_routes(market: CandleReader, hub: Hub, max_buffered_bytes: int) -> APIRouter:
    router = APIRouter()

    @router.api_route("/metrics", methods=["GET", "HEAD"], responses=answers("text/plain", _EXAMPLE))
    def metrics() -> Response:
        """Metrics in Prometheus' text format.

        Answer with status 200 in any case; candleworks_up is 0 while the database is unreachable.
        """
        began = clock.monotonic()
        try:
            found = market.read(read_monitoring)
        except CandleworksError:
            found = None
        body = generate_latest(_MetricsCollector(found, clock.monotonic() - began, hub, max_buffered_bytes))
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    return router


class _MetricsCollector(Collector):
    """The metrics of one scrape."""

    def __init__(self, found: Monitoring | None, seconds: float, hub: Hub, max_buffered_bytes: int) -> None:
        self._found = found
        self._seconds = seconds
        self._hub = hub
        self._max_buffered_bytes = max_buffered_bytes

    def collect(self) -> Iterator[Metric]:
        yield _gauge("candleworks_up", "1 while the database answers, else 0.", [((), float(self._found is not None))])
        yield _gauge("candleworks_build_info", "Version of the running server.", [((__version__,), 1.0)], "version")
        yield _gauge("candleworks_scrape_seconds", "Time that the database took to answer.", [((), self._seconds)])
        limit = [((), float(self._max_buffered_bytes))]
        yield _gauge("candleworks_ingest_buffer_limit_bytes", "Memory for the waiting ticks of a feed.", limit)
        yield from _of_stream(self._hub)
        if self._found is not None:
            yield from _of_feeds(self._found.feeds)
            yield from _of_symbols(self._found)
            yield from _of_database(self._found)


def _of_stream(hub: Hub) -> Iterator[Metric]:
    clients = [((), float(hub.client_count))]
    yield _gauge("candleworks_stream_clients", "Clients that follow the stream of this server.", clients)
    yield CounterMetricFamily("candleworks_stream_events", "Events sent to clients of the stream.", hub.sent)
    text = "How often a client of the stream was too slow and was resumed from the database."
    yield CounterMetricFamily("candleworks_stream_lagged", text, hub.lagged)


def _of_feeds(feeds: Sequence[FeedState]) -> Iterator[Metric]:
    for name, text, value in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["feed"])
        for feed in feeds:
            if feed.since is not None:
                counter.add_metric([feed.feed], value(feed))
        yield counter
    yield _gauge(
        "candleworks_ingest_lag_seconds",
        "From a tick's arrival to its commit, over ten seconds; absent while no tick came for half a minute.",
        (
            ((feed.feed, quantile), None if lag_ms is None else lag_ms / 1_000)
            for feed in feeds
            for quantile, lag_ms in (("0.5", feed.lag_ms_p50), ("0.99", feed.lag_ms_p99))
        ),
        "feed",
        "quantile",
    )
    gauges: Sequence[tuple[str, str, Callable[[FeedState], float | None]]] = (
        ("candleworks_spool_ticks", "Ticks received and not stored yet.", lambda feed: feed.spool_depth),
        ("candleworks_ingest_memory_bytes", "Memory of the feed's process, sampled.", lambda feed: feed.memory_bytes),
        ("candleworks_gaps_open", "Open gaps.", lambda feed: feed.gaps_open),
        ("candleworks_gaps_unfilled", "Closed gaps that are not filled.", lambda feed: feed.gaps_unfilled),
        (
            "candleworks_feed_stopped",
            "1 while a person has stopped the feed, else 0.",
            lambda feed: float(feed.stopped_at is not None),
        ),
        ("candleworks_feed_report_age_seconds", "Age of the last statistics.", lambda feed: feed.report_age_seconds),
    )
    for name, text, state in gauges:
        yield _gauge(name, text, (((feed.feed,), state(feed)) for feed in feeds), "feed")


def _of_symbols(found: Monitoring) -> Iterator[Metric]:
    ages = (((symbol.symbol,), symbol.age_seconds) for symbol in found.symbols)
    yield _gauge("candleworks_last_tick_age_seconds", "Age of the symbol's newest trade.", ages, "symbol")
    counts = (((feed.feed,), float(_count(found.refused, feed.feed))) for feed in found.feeds)
    yield _gauge("candleworks_refused_symbols", "Symbols that the vendor does not stream to us.", counts, "feed")
    refused = (((each.feed, each.symbol), 1.0) for each in found.refused)
    yield _gauge("candleworks_symbol_refused", "1 for each symbol that is refused.", refused, "feed", "symbol")


def _of_database(found: Monitoring) -> Iterator[Metric]:
    levels, moment = found.levels, found.now
    ages = (((level.level,), _age_seconds(level, moment)) for level in levels)
    text = "Age of the end of what is stored; 0 while the newest stored candle is still forming."
    yield _gauge("candleworks_candle_watermark_age_seconds", text, ages, "level")
    lags = (((level.level,), level.lag_seconds) for level in levels)
    yield _gauge("candleworks_candle_lag_seconds", "For how long a complete candle waits to be stored.", lags, "level")
    yield _gauge("candleworks_database_size_bytes", "Size of the whole database.", [((), float(found.database_bytes))])


def _gauge(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    """Make a gauge; a sample without a value is left out."""
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            gauge.add_metric(values, value)
    return gauge


def _count(refused: Sequence[RefusedSymbol], feed: str) -> int:
    return sum(each.feed == feed for each in refused)


def _age_seconds(level: LevelState, moment: datetime) -> float | None:
    return None if level.watermark is None else max(0.0, (moment - level.watermark).total_seconds())
