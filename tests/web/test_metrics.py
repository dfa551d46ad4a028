"""What Prometheus is told, against what the database holds."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from candleworks import __version__, clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.storage import feeds as statistics
from candleworks.storage.feeds import IngestStats
from tests.web.conftest import MONDAY, Store, every_minute, serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
Samples = dict[tuple[str, ...], float]


class Scrape:
    """One answer, parsed as Prometheus does."""

    def __init__(self, text: str) -> None:
        self.kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
        self.samples: dict[str, Samples] = {name: {} for name in self.kinds}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value

    def __getitem__(self, name: str) -> Samples:
        return self.samples[name]


@pytest.fixture
def scrape(client: httpx.Client) -> Iterator[Callable[[], Scrape]]:
    """Asks /metrics and parses it."""

    def ask() -> Scrape:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return Scrape(answer.text)

    return ask


def report(connection: Connection, feed: str, seconds_ago: int, ticks: int, lag_ms: float | None = 4.0) -> None:
    """Write a row of ingest_stats as the ingest does, over one of the same ten seconds."""
    connection.execute(
        "INSERT INTO ingest_stats VALUES (%s, date_trunc('second', now()) - %s * interval '1 second',"
        " %s, 2, %s, %s, 9, 17, 1, 3, 5, 6)"
        " ON CONFLICT (feed, at) DO UPDATE SET ticks = excluded.ticks",
        [feed, seconds_ago, ticks, lag_ms, lag_ms and lag_ms * 10],
    )


def test_feeds_are_counted_and_measured(scrape: Callable[[], Scrape], connection: Connection) -> None:
    """Counters are sums over all rows, gauges those of the newest one, in the units of their names."""
    report(connection, "crypto", 40, 100)
    report(connection, "crypto", 10, 11)
    report(connection, "crypto", 0, 0, None)
    report(connection, "stocks", 300, 7)
    found = scrape()
    for name, column in (
        ("ticks", "ticks"),
        ("batches", "batches"),
        ("reconnects", "reconnects"),
        ("duplicate_ticks", "duplicates"),
        ("rejected_ticks", "rejected"),
        ("candles_refreshed", "candles"),
    ):
        sums = connection.execute(f"SELECT feed, sum({column})::float8 FROM ingest_stats GROUP BY feed").fetchall()
        assert found[f"candleworks_{name}_total"] == {(feed,): total for feed, total in sums}
        assert found.kinds[f"candleworks_{name}"] == "counter"
    assert found["candleworks_ingest_lag_seconds"] == {("crypto", "0.5"): 0.004, ("crypto", "0.99"): 0.04}
    assert found["candleworks_spool_ticks"] == {("crypto",): 17, ("stocks",): 17}
    ages = found["candleworks_feed_report_age_seconds"]
    assert 0 <= ages["crypto",] < 60
    assert 300 <= ages["stocks",] < 400


def test_the_memory_of_an_ingest_is_shown_with_its_limit(scrape: Callable[[], Scrape], connection: Connection) -> None:
    """The newest sample of each feed's process; one that has ended has none."""
    report(connection, "crypto", 0, 1)
    for age, size in ((300, 5), (60, 7), (30, 9)):
        connection.execute(
            "INSERT INTO candleworks.process_samples (feed, at, host, cpu_percent, memory_bytes, machine_cpu_percent,"
            " machine_memory_free_bytes, disk_free_bytes, disk_bytes)"
            " SELECT unnest(ARRAY['crypto', 'stocks']), now() - make_interval(secs => %s), 'host', 1, %s, 1, 1, 1, 1",
            [age, size],
        )
    connection.execute("DELETE FROM candleworks.process_samples WHERE feed = 'stocks' AND memory_bytes > 5")
    report(connection, "stocks", 400, 1)
    found = scrape()
    assert found["candleworks_ingest_memory_bytes"] == {("crypto",): 9}
    assert found["candleworks_ingest_buffer_limit_bytes"] == {(): 134_217_728}


def test_counters_never_fall(scrape: Callable[[], Scrape], connection: Connection) -> None:
    """Neither when old rows are deleted nor when a feed that was started again begins its ten seconds from zero."""

    def ticks() -> float:
        return scrape()["candleworks_ticks_total"]["crypto",]

    connection.execute("INSERT INTO ingest_stats VALUES ('crypto', '2026-01-01', 5, 1, 1, 1, 1, 0, 0, 0, 0, 0)")
    for now, total in ((3, 8), (10, 15), (0, 15), (4, 19)):
        connection.execute(
            "INSERT INTO ingest_stats VALUES ('crypto', '2026-03-01', %s, 1, 1, 1, 1, 0, 0, 0, 0, 0)"
            " ON CONFLICT (feed, at) DO UPDATE SET ticks = excluded.ticks",
            [now],
        )
        assert ticks() == total
    connection.execute("DELETE FROM ingest_stats")
    assert ticks() == 19


def test_a_process_that_names_itself_is_counted_from_zero(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its first report in these ten seconds is higher than the last one of the process before it."""
    now = clock.now()
    for run, ticks in (("first", 3), ("first", 5), ("second", 7), ("second", 7), ("second", 9)):
        monkeypatch.setattr(statistics, "_RUN", run)
        statistics.save_ingest_stats(connection, IngestStats("a", now, ticks, 1, None, None, None, 0, 0, 0, 0, 0))
    assert connection.execute("SELECT ticks, batches FROM candleworks.ingest_totals").fetchone() == (14, 2)


def test_totals_begin_with_what_was_there(connection: Connection) -> None:
    """Written by who may write statistics, who needs no right to the totals."""
    name = f"writer_{connection.info.dbname}"
    connection.execute(f"CREATE ROLE {name}; GRANT INSERT ON ingest_stats TO {name}; SET ROLE {name}")
    report_once = "INSERT INTO ingest_stats VALUES ('a', '2026-01-01', 5, 1, 1, 1, 1, 0, 0, 0, 0, 0)"
    connection.execute(report_once)
    connection.execute(f"RESET ROLE; DROP OWNED BY {name}; DROP ROLE {name}")
    totals = connection.execute("SELECT feed, since, ticks FROM candleworks.ingest_totals").fetchall()
    assert [(feed, f"{since:%Y-%m-%d}", ticks) for feed, since, ticks in totals] == [("a", "2026-01-01", 5)]


def test_gaps_and_refusals_are_counted_per_feed(scrape: Callable[[], Scrape], connection: Connection) -> None:
    """A feed without statistics has them too; filled gaps count no longer."""
    report(connection, "stocks", 0, 1)
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at) VALUES"
        " ('stocks', NULL, '2026-03-02 10:00+00', NULL, 'closed', NULL),"
        " ('stocks', 'AAPL', '2026-03-02 09:00+00', '2026-03-02 09:05+00', 'silent', NULL),"
        " ('stocks', 'AAPL', '2026-03-02 08:00+00', '2026-03-02 08:05+00', 'silent', now()),"
        " ('crypto', NULL, '2026-03-02 09:00+00', '2026-03-02 09:05+00', 'closed', NULL)"
    )
    connection.execute(
        "INSERT INTO feed_symbols VALUES ('stocks', 'NOPE', 'refused', 'not found', now()),"
        " ('stocks', 'AAPL', 'streaming', NULL, now())"
    )
    connection.execute("INSERT INTO feed_stops VALUES ('stocks', now(), 'x', true), ('crypto', now(), 'x', false)")
    found = scrape()
    assert found["candleworks_feed_stopped"] == {("stocks",): 1, ("crypto",): 0}
    assert found["candleworks_gaps_open"] == {("stocks",): 1, ("crypto",): 0}
    assert found["candleworks_gaps_unfilled"] == {("stocks",): 1, ("crypto",): 1}
    assert found["candleworks_refused_symbols"] == {("stocks",): 1, ("crypto",): 0}
    assert found["candleworks_symbol_refused"] == {("stocks", "NOPE"): 1}
    assert found["candleworks_ticks_total"] == {("stocks",): 1}


def test_each_symbol_has_the_age_of_its_last_tick(
    scrape: Callable[[], Scrape], store: Store, connection: Connection
) -> None:
    """Of the last 30 days, or asked for by a feed; never negative; candles say how far they are."""
    now = clock.now()
    store("BTC/USD", [(now - timedelta(seconds=90), 91000.0, 1.0)])
    store("AAPL", [(now + timedelta(seconds=50), 250.0, 1.0)])
    for old in ("IBM", "GONE"):
        store(old, every_minute(now - timedelta(days=60), 1))
    connection.execute("INSERT INTO feed_symbols VALUES ('stocks', 'IBM', 'asked', NULL, now())")
    connection.execute("INSERT INTO feed_symbols VALUES ('stocks', 'NEVER', 'asked', NULL, now())")
    refresh(connection)
    found = scrape()
    ages = found["candleworks_last_tick_age_seconds"]
    assert ages.keys() == {("BTC/USD",), ("AAPL",), ("IBM",)}
    assert 90 <= ages["BTC/USD",] < 150
    assert ages["AAPL",] == 0
    assert ages["IBM",] == pytest.approx(60 * 86_400, abs=60)
    levels = {("1m",), ("5m",), ("15m",), ("1h",), ("4h",), ("1d",)}
    assert found["candleworks_candle_watermark_age_seconds"].keys() <= levels
    assert found["candleworks_candle_lag_seconds"].keys() <= levels


def test_stored_candles_have_an_age(scrape: Callable[[], Scrape], store: Store, connection: Connection) -> None:
    """By how long ago they end, and for how long a complete one waits to be stored."""
    store("AAPL", every_minute(MONDAY, 3))
    refresh(connection)
    lags = scrape()["candleworks_candle_lag_seconds"]
    assert lags["1m",] == 0
    ages = scrape()["candleworks_candle_watermark_age_seconds"]
    assert ages["1m",] >= (clock.now() - MONDAY).total_seconds() - 86_400 * 2
    assert scrape()["candleworks_database_size_bytes"][()] > 1_000_000


def test_an_empty_database_is_up(scrape: Callable[[], Scrape]) -> None:
    """There is nothing to tell about feeds and symbols."""
    found = scrape()
    assert found["candleworks_up"] == {(): 1}
    assert found["candleworks_build_info"] == {(__version__,): 1}
    assert found["candleworks_ticks"] == found["candleworks_last_tick_age_seconds"] == {}


def test_a_database_that_is_away_is_told_not_failed() -> None:
    """Status 200 and candleworks_up 0: a scrape that fails would say the page is away."""
    with serving("postgresql://127.0.0.1:1/market") as url:
        answer = httpx.get(f"{url}metrics", timeout=30)
    assert answer.status_code == 200
    found = Scrape(answer.text)
    assert found["candleworks_up"] == {(): 0}
    of_server = {f"candleworks_{name}" for name in ("up", "build_info", "scrape_seconds", "ingest_buffer_limit_bytes")}
    assert {name for name in found.samples if "stream" not in name} == of_server


def test_every_metric_is_documented(scrape: Callable[[], Scrape]) -> None:
    """With its type, and nothing is documented that is not there."""
    rows = re.findall(r"^\| `(candleworks_\w+)(?:\{[^}]*\})?` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert {name.removesuffix("_total"): kind for name, kind in rows} == scrape().kinds


def test_other_hosts_are_refused_as_everywhere(client: httpx.Client) -> None:
    """Metrics are served on loopback by design."""
    assert client.get("/metrics", headers={"Host": "db.example:8050"}).status_code == 400


def test_the_symbols_are_found_by_index(store: Store, connection: Connection) -> None:
    """Of 2,300 ticks one is read per symbol, whichever partitions they lie in."""
    store("AAPL", every_minute(clock.now() - timedelta(hours=40), 2_300))
    refresh(connection)
    connection.execute("ANALYZE")
    plan = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query('symbol_states')}").fetchone()
    assert plan
    read = [node for node in nodes(plan[0][0]["Plan"]) if "time" in str(node.get("Index Cond"))]
    assert read
    assert all(node["Actual Rows"] <= 1 for node in read)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's nodes that read ticks, by index or not."""
    if re.match(r"_hyper_1_|stocks_real_time", plan.get("Relation Name", "")):
        assert plan["Node Type"] != "Seq Scan" or plan["Actual Loops"] == 0
        yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
