"""Names for symbols."""

from prefect import flow, get_run_logger

from candleworks.cli.opening import prepared
from candleworks.history.companies import sync_companies as sync
from candleworks.settings import load_settings
from flows.support.reports import table


@flow(name="sync-companies", flow_run_name="sync companies", retries=2, retry_delay_seconds=600, timeout_seconds=3600)
def sync_companies(every: bool = False, exchange: str | None = None, country: str | None = None) -> dict[str, int]:
    """Fill `company` from the vendor's lists for the symbols that are configured or stored.

    Args:
        every: Not only those, but all that the lists hold.
        exchange: Narrows the lists.
        country: Narrows the lists.
    """
    settings = load_settings()
    with prepared(settings) as dsn:
        report = sync(settings, dsn, every=every, exchange=exchange, country=country)
    unclear = [{"symbol": symbol, "problem": "unknown"} for symbol in report.unknown]
    unclear += [{"symbol": symbol, "problem": "several exchanges"} for symbol in report.ambiguous]
    table("sync-companies", unclear, "Symbols without a company")
    counts = {"stored": report.stored, "unchanged": report.unchanged, "unclear": len(unclear)}
    get_run_logger().info("%s", counts)
    return counts
