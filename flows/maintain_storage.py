"""The nightly work on the database."""

from prefect import flow, get_run_logger

from candleworks.cli.opening import migrated
from candleworks.settings import load_settings
from candleworks.storage.maintenance import maintain
from flows.support.reports import table
from flows.support.results import work_row


@flow(name="maintain-storage", flow_run_name="maintain storage", retries=2, retry_delay_seconds=300)
def maintain_storage() -> int:
    """Refresh candles, drop what retention says, and compress what is old enough (TimescaleDB). Candles always stay."""
    settings = load_settings()
    with migrated(settings, "maintain-storage") as connection:
        done = maintain(connection, settings)
    table("maintain-storage", [work_row(work) for work in done], "Dropped and compressed")
    get_run_logger().info("%d pieces of work", len(done))
    return len(done)
