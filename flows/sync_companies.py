"""Looks up the companies behind the symbols."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.imports.companies import sync_companies as sync
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.wording import counted
from flows.support.artifacts import table
from flows.support.run_states import completed, explained


@flow(name="sync-companies", flow_run_name="sync companies", retries=2, retry_delay_seconds=600, timeout_seconds=3600)
@explained
def sync_companies(every: bool = False, exchange: str | None = None, country: str | None = None) -> State[Any]:
    """Fill the table company from the vendor's lists, for configured and stored symbols.

    Args:
        every: Store everything that the vendor lists.
        exchange: Only lists of this exchange.
        country: Only lists of this country.
    """
    settings = load_settings()
    with prepared(settings, create="embedded") as dsn:
        report = sync(settings, dsn, every=every, exchange=exchange, country=country)
    unclear = [{"symbol": symbol, "problem": "unknown"} for symbol in report.unknown]
    unclear += [{"symbol": symbol, "problem": "several exchanges"} for symbol in report.ambiguous]
    table("sync-companies", unclear, f"{counted(len(unclear), 'symbol')} without a company")
    known = f"{report.stored:,} companies new or changed, {report.unchanged:,} unchanged"
    return completed(f"{known}, {counted(len(unclear), 'symbol')} without a company")
