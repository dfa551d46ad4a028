"""A recording of quotes as Dukascopy ships one, of any size: written in pieces, so that the bench needs no memory."""

from pathlib import Path

import numpy as np
import polars as pl

FIRST_US = 1_704_672_000_000_000  # Monday 2024-01-08 00:00 UTC
STEP_MS = 50  # between two quotes, on average: as lively as EUR/USD gets
PIECE_ROWS = 500_000


def write_quote_file(directory: Path, rows: int) -> Path:
    """Write the same `rows` quotes of EUR/USD every time, oldest first."""
    path = directory / f"EURUSD_Ticks_{rows}.csv"
    random = np.random.default_rng(1)
    event_ms, bid = FIRST_US // 1000, 110_000.0
    with path.open("wb") as file:
        file.write(b"Gmt time,Ask,Bid,AskVolume,BidVolume\n")
        for start in range(0, rows, PIECE_ROWS):
            count = min(PIECE_ROWS, rows - start)
            event_times = event_ms + random.integers(0, 2 * STEP_MS, count).cumsum()
            bids = bid + random.integers(-1, 2, count).cumsum()
            event_ms, bid = int(event_times[-1]), float(bids[-1])
            frame = pl.DataFrame({"event_time": event_times, "bid": bids, "spread": random.integers(1, 5, count)})
            _written(frame).write_csv(file, include_header=False)
    return path


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    time = pl.from_epoch("event_time", time_unit="ms").dt.to_string("%d.%m.%Y %H:%M:%S%.3f")
    return frame.select(
        time.alias("time"),
        ((pl.col("bid") + pl.col("spread")) / 100_000).alias("ask"),
        (pl.col("bid") / 100_000).alias("bid"),
        pl.lit(0.75).alias("ask_volume"),
        pl.lit(1.5).alias("bid_volume"),
    )
