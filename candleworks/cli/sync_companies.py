"""`candleworks sync-companies`: who is behind the symbols."""

import time
from pathlib import Path
from typing import Annotated

import typer

from candleworks.imports.companies import CompanyReport
from candleworks.imports.companies import sync_companies as fill_companies
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings

SHOWN = 20


def sync_companies(
    file: Annotated[
        Path | None, typer.Argument(help="CSV (symbol,name and maybe exchange,currency,type) instead of the vendor.")
    ] = None,
    *,
    exchange: Annotated[str | None, typer.Option(help="Only the vendor's lists of this exchange.")] = None,
    country: Annotated[str | None, typer.Option(help="Only the vendor's lists of this country.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that the vendor lists, not only configured and stored symbols.")
    ] = False,
) -> None:
    """Fill the table company: name, exchange, currency and type of each symbol.

    The vendor's lists of stocks, ETFs, currency pairs and cryptocurrencies are asked as far as they are needed, for
    one API credit each. What is known already is never replaced by nothing. Symbols that are not found are named.
    """
    settings = load_settings()
    with prepared(settings, create="embedded") as dsn:
        report = fill_companies(
            settings, dsn, file=file, every=every, exchange=exchange, country=country, wait=_wait_for_credits
        )
    _print(report)


def _wait_for_credits(seconds: float) -> None:
    typer.echo(f"waiting {seconds:,.0f} s for API credits (rest.credits_per_minute)", err=True)
    time.sleep(seconds)


def _print(report: CompanyReport) -> None:
    cost = f" ({report.credits} lists read)" if report.credits else ""
    typer.echo(f"companies: {report.stored:,} new or changed, {report.unchanged:,} as they were{cost}")
    _name("unknown to the vendor", ", ", report.unknown)
    _name("listed in several places, name one as SYMBOL:EXCHANGE or by --exchange", "; ", report.ambiguous)
    _name("lines that cannot be used", "; ", report.rejected)


def _name(what: str, separator: str, names: tuple[str, ...]) -> None:
    if names:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        typer.echo(f"{what} ({len(names):,}): {separator.join(names[:SHOWN])}{more}")
