"""Brings candles up to date, also where no feed runs."""

from prefect import flow, get_run_logger

from candleworks.candles.refresh import refresh
from candleworks.cli.opening import migrated
from candleworks.settings import load_settings


@flow(name="refresh-candles", flow_run_name="refresh candles", timeout_seconds=600)
def refresh_candles() -> dict[str, int]:
    """Bring every candle level up to date with the ticks that changed since the last time."""
    with migrated(load_settings(), "refresh-candles") as connection:
        changed = {level: count for level, count in refresh(connection).items() if count}
    get_run_logger().info("candles changed: %s", changed or "none")
    return changed
