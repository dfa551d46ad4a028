"""The peer of the live path: TimescaleDB's Twelve Data tutorial, as a person who follows it would run it.

Its way, written anew: the vendor's package calls back for every event, a hundred rows make one INSERT through
`execute_values`, and each is committed. Nothing is printed per event, and logging stays at the package's default, which
shows warnings only: both in its favour. day_volume is a bigint, since the totals of so many simulated ticks outgrow the
tutorial's int.
Usage: python -m bench.tutorial_client DSN FEED_URL REST_URL SYMBOLS
"""

import sys
import time
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from twelvedata import TDClient

TABLE = """
CREATE TABLE stocks_real_time (
    time timestamptz NOT NULL,
    symbol text NOT NULL,
    price double precision NULL,
    day_volume bigint NULL
);
CREATE INDEX ix_symbol_time ON stocks_real_time (symbol, time DESC);
"""
BATCH_ROWS = 100
HEARTBEAT_SECONDS = 10


class Pipeline:
    """Collects events and inserts them by the hundred."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg2.connect(dsn)
        self.rows: list[tuple[datetime, str, float, int | None]] = []

    def on_event(self, event: dict[str, Any]) -> None:
        if event["event"] != "price":
            return
        moment = datetime.fromtimestamp(event["timestamp"], UTC)
        self.rows.append((moment, event["symbol"], event["price"], event.get("day_volume")))
        if len(self.rows) == BATCH_ROWS:
            self.insert()
            self.rows = []

    def insert(self) -> None:
        with self.connection.cursor() as cursor:
            sql = "INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES %s"
            execute_values(cursor, sql, self.rows)
        self.connection.commit()


def main(dsn: str, feed_url: str, rest_url: str, symbols: str) -> None:
    """Stream until the process is killed; this is how the tutorial's script ends, too."""
    client = TDClient(apikey="demo", base_url=rest_url)
    websocket = client.websocket(on_event=Pipeline(dsn).on_event)
    websocket.url = f"{feed_url}?apikey=demo"
    websocket.subscribe(symbols.split(","))
    websocket.connect()
    while True:
        websocket.heartbeat()
        time.sleep(HEARTBEAT_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
