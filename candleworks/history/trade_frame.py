"""Places whole recordings of trades: ordinals and volumes by columns, then COPY, or the merge where trades meet."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from candleworks.history.trade_csv import ParsedTrades
from candleworks.model.trades import Trades, moment_of
from candleworks.model.trading_day import calendar_of, trading_day, zone_of
from candleworks.settings import Calendars
from candleworks.storage.copying import encode_columns
from candleworks.storage.trades import Meeting, TradeStore

MERGE_ROWS = 100_000


@dataclass(frozen=True)
class TradeImport:
    """Stores a parsed recording through `store`; `received_us` stands for every tick's arrival."""

    store: TradeStore
    calendars: Calendars
    received_us: int

    def prepare(self, parsed: ParsedTrades) -> None:
        """Make room for the recording; outside the transaction, so that other writers are not held up."""
        self.store.prepare(parsed.frame["stamp_us"].unique().to_list())

    def run(self, parsed: ParsedTrades) -> Meeting:
        """Store the recording inside the caller's transaction."""
        if parsed.frame.is_empty():
            return Meeting(0, 0)
        spans = self._spans(parsed.frame)
        if self.store.any_within(spans):
            return self._merge(parsed.frame)
        self._copy(parsed.frame, spans)
        return Meeting(len(parsed.frame), 0)

    def _spans(self, frame: pl.DataFrame) -> dict[str, tuple[datetime, datetime]]:
        """Give for each symbol the trading days that its recording touches, as one range."""
        spans = {}
        for symbol, first, last in (
            frame.group_by("symbol").agg(pl.min("stamp_us").alias("first"), pl.max("stamp_us").alias("last")).rows()
        ):
            zone = self.store.zone_of(symbol)
            spans[symbol] = (trading_day(moment_of(first), zone)[0], trading_day(moment_of(last), zone)[1])
        return spans

    def _copy(self, frame: pl.DataFrame, spans: dict[str, tuple[datetime, datetime]]) -> None:
        oldest = self.store.oldest(set(spans))
        continued = [symbol for symbol, (start, _) in spans.items() if symbol in oldest and oldest[symbol] < start]
        placed = _with_volume(_with_trading_day(frame, self.calendars), continued).with_columns(
            pl.int_range(pl.len()).over("symbol", "stamp_us").alias("ordinal")
        )
        none = np.full(len(placed), np.nan)
        self.store.copy_encoded(
            encode_columns(
                (placed["stamp_us"] + placed["ordinal"]).to_numpy(),
                placed["symbol"].to_numpy().astype("S"),
                placed["price"].to_numpy(),
                [placed[name].fill_null(float("nan")).to_numpy() for name in ("day_volume", "volume")] + [none, none],
                np.full(len(placed), self.received_us),
                self.store.origin,
            )
        )
        self.store.heal_first_days({symbol: start for symbol, (start, _) in spans.items()}, oldest)

    def _merge(self, frame: pl.DataFrame) -> Meeting:
        stored = duplicates = 0
        for part in _slices(frame):
            meeting = self.store.merge(self._as_trades(part), Trades())
            stored, duplicates = stored + meeting.stored, duplicates + meeting.duplicates
        return Meeting(stored, duplicates)

    def _as_trades(self, frame: pl.DataFrame) -> Trades:
        count = len(frame)
        return Trades(
            stamp_us=frame["stamp_us"].to_list(),
            ordinal=[0] * count,
            symbol=frame["symbol"].to_list(),
            price=frame["price"].to_list(),
            day_volume=frame["day_volume"].to_list(),
            volume=[None] * count,
            bid=[None] * count,
            ask=[None] * count,
            received_us=[self.received_us] * count,
        )


def _with_trading_day(frame: pl.DataFrame, calendars: Calendars) -> pl.DataFrame:
    """Add `day`, the local date of each trade's exchange."""
    zones = {symbol: str(zone_of(calendar_of(symbol, calendars))) for symbol in frame["symbol"].unique()}
    moment = pl.from_epoch("stamp_us", time_unit="us").dt.replace_time_zone("UTC")
    day = pl.lit(None, dtype=pl.Date)
    for zone in sorted(set(zones.values())):
        members = [symbol for symbol, its in zones.items() if its == zone]
        day = pl.when(pl.col("symbol").is_in(members)).then(moment.dt.convert_time_zone(zone).dt.date()).otherwise(day)
    return frame.with_columns(day.alias("day"))


def _with_volume(frame: pl.DataFrame, continued: list[str]) -> pl.DataFrame:
    """Add `volume`, the increase of the running maximum of day_volume within the trading day.

    A day starts from zero, except the first known one of a symbol that is not `continued`: what was traded before its
    first running total is unknown.
    """
    before = pl.col("day_volume").cum_max().forward_fill().shift(1).over("symbol", "day")
    from_zero = pl.col("symbol").is_in(continued) | (pl.col("day") != pl.col("day").min().over("symbol"))
    return frame.with_columns(
        pl.when(pl.col("day_volume").is_null())
        .then(None)
        .when(before.is_not_null())
        .then(pl.max_horizontal(pl.col("day_volume") - before, 0.0))
        .when(from_zero)
        .then(pl.col("day_volume"))
        .alias("volume")
    )


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut a frame that is sorted by stamp into parts that never split a stamp."""
    stamps = frame["stamp_us"].to_numpy()
    start = 0
    while start < len(stamps):
        stop = start + MERGE_ROWS
        if stop < len(stamps):
            stop = int(np.searchsorted(stamps, stamps[stop], side="left"))
            if stop <= start:
                stop = int(np.searchsorted(stamps, stamps[start], side="right"))
        yield frame[start:stop]
        start = stop
