"""Fills `company`: from the vendor's lists, for configured and stored symbols, or from a CSV file."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from candleworks import clock
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.errors import TerminalError, UsageError
from candleworks.imports.company_csv import is_companies, parse_companies, read_text
from candleworks.settings import Instrument, Settings
from candleworks.storage.companies import merge_companies, stored_symbols
from candleworks.vendor.credits import Credits, Purpose
from candleworks.vendor.symbol_lists import Listing, SymbolLists

HOME_COUNTRY = "United States"  # where the vendor looks first for a symbol without an exchange


@dataclass(frozen=True)
class CompanyReport:
    """The result for the symbols. `stored` counts new or changed rows of `company`, `credits` the API credits spent.

    `ambiguous` are symbols that several exchanges list, each with the exchanges; `rejected` are reasons with line
    numbers of a file.
    """

    stored: int
    unchanged: int
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    credits: int = 0


@dataclass(frozen=True)
class _Wanted:
    """A symbol as it is stored, and where the configuration says it is listed."""

    name: str
    symbol: str
    venue: str = ""
    type: str = ""

    @property
    def is_pair(self) -> bool:
        return "/" in self.symbol


@dataclass(frozen=True)
class _VendorList:
    """One of the vendor's lists, and whether it is a list of pairs."""

    of_pairs: bool
    read: Callable[[], list[Listing]]


@dataclass
class _Matches:
    """The vendor's listings by the stored name of the symbol."""

    listings: dict[str, Listing] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()

    @classmethod
    def of(cls, wanted: Sequence[_Wanted], lists: Sequence[_VendorList]) -> "_Matches":
        """Look the symbols up, list by list; a list is not requested when no symbol is left for it."""
        found, ambiguous = cls(), dict[str, str]()
        for each_list in lists:
            left = [
                asked
                for asked in wanted
                if asked.is_pair is each_list.of_pairs
                and asked.name not in found.listings
                and asked.name not in ambiguous
            ]
            by_symbol = _by_symbol(each_list.read()) if left else {}
            for asked in left:
                choices = _fitting(asked, by_symbol.get(asked.symbol, []))
                if len(choices) == 1:
                    found.listings[asked.name] = choices[0]
                elif choices:
                    ambiguous[asked.name] = _places(asked.name, choices)
        found.unknown = tuple(
            each.name for each in wanted if each.name not in found.listings and each.name not in ambiguous
        )
        found.ambiguous = tuple(ambiguous.values())
        return found

    @classmethod
    def of_everything(cls, lists: Sequence[_VendorList]) -> "_Matches":
        """Match every symbol by its plain name, with the exchange that a plain name stands for."""
        found, ambiguous = cls(), dict[str, str]()
        for each_list in lists:
            for symbol, listings in _by_symbol(each_list.read()).items():
                choices = _fitting(_Wanted(symbol, symbol), listings)
                if len(choices) == 1:
                    found.listings.setdefault(symbol, choices[0])
                else:
                    ambiguous[symbol] = _places(symbol, choices)
        found.ambiguous = tuple(text for symbol, text in ambiguous.items() if symbol not in found.listings)
        return found


def sync_companies(
    settings: Settings,
    dsn: str,
    *,
    file: Path | None = None,
    every: bool = False,
    exchange: str | None = None,
    country: str | None = None,
    symbols: Collection[str] | None = None,
    purpose: Purpose = "gaps",
    wait: Callable[[float], None] = time.sleep,
) -> CompanyReport:
    """Fill name, exchange, currency and type; a known value is never replaced by an unknown one.

    Without a file the vendor's lists are requested for the configured and stored symbols, for `symbols` of the
    configured ones, or with `every` for all of its symbols; `exchange` and `country` restrict the lists. `wait` is
    called with the seconds until the next API credit, and `purpose` leaves credits to others. With a file only the file
    is read. Raises TransientError (vendor or database unavailable, no credits left),
    TerminalError (key rejected, unusable file) or UsageError.
    """
    if file is not None and (every or exchange or country):
        raise UsageError("Leave out --all, --exchange and --country with a file: all of its companies are stored.")
    with transient_errors(dsn), connect(dsn, "sync-companies", profile=WRITER) as connection:
        if file is not None:
            return _from_file(connection, file)
        budget = Credits(connection, settings, wait, purpose)
        lists = _lists(SymbolLists(settings, budget), exchange, country)
        if every:
            found = _Matches.of_everything(lists)
        else:
            stored_names = stored_symbols(connection) if symbols is None else []
            wanted = _wanted(settings, stored_names)
            found = _Matches.of([asked for asked in wanted if symbols is None or asked.name in symbols], lists)
        stored = merge_companies(connection, [_row(name, listing) for name, listing in found.listings.items()])
        return CompanyReport(stored, len(found.listings) - stored, found.unknown, found.ambiguous, credits=budget.spent)


def _from_file(connection: Connection, path: Path) -> CompanyReport:
    text = read_text(path)
    header = [name.strip(' "\r').lower() for name in text.partition(b"\n")[0].decode().split(",")]
    if not is_companies(header):
        raise TerminalError(f"{path} is not a list of companies: its first line must name symbol and name.")
    parsed = parse_companies(text, header, clock.now_us())
    stored = merge_companies(connection, parsed.rows)
    reasons = tuple(rejection.reason for rejection in parsed.rejections)
    return CompanyReport(stored, len({row[0] for row in parsed.rows}) - stored, rejected=reasons)


def _wanted(settings: Settings, stored: Iterable[str]) -> list[_Wanted]:
    """Return configured symbols first: they may specify the exchange more exactly than a stored name."""
    found: dict[str, _Wanted] = {}
    for feed in settings.feeds:
        for name, asked in feed.instruments.items():
            found.setdefault(name, _asked(name) if isinstance(asked, str) else _listed(name, asked))
    for name in stored:
        found.setdefault(name, _asked(name))
    return list(found.values())


def _asked(name: str) -> _Wanted:
    symbol, _, venue = name.partition(":")
    return _Wanted(name, symbol.upper(), venue.upper())


def _listed(name: str, asked: Instrument) -> _Wanted:
    return _Wanted(name, asked.symbol, (asked.mic_code or asked.exchange or "").upper(), asked.type or "")


def _lists(vendor: SymbolLists, exchange: str | None, country: str | None) -> list[_VendorList]:
    """Return the lists in the order of precedence of a plain name: stocks, ETFs, currencies, cryptocurrencies.

    Currencies have no exchange and pairs no country: lists restricted by these cannot contain them.
    """
    lists = [
        _VendorList(False, lambda: vendor.stocks(exchange, country)),
        _VendorList(False, lambda: vendor.etfs(exchange, country)),
    ]
    if not (exchange or country):
        lists.append(_VendorList(True, vendor.forex_pairs))
    if not country:
        lists.append(_VendorList(True, lambda: vendor.cryptocurrencies(exchange)))
    return lists


def _by_symbol(listings: Iterable[Listing]) -> dict[str, list[Listing]]:
    by_symbol: dict[str, list[Listing]] = {}
    for listing in listings:
        by_symbol.setdefault(listing.symbol.upper(), []).append(listing)
    return by_symbol


def _fitting(asked: _Wanted, listings: Sequence[Listing]) -> list[Listing]:
    """Return the listing of a symbol; several where it is ambiguous."""
    fitting = [
        listing
        for listing in listings
        if (not asked.venue or asked.venue in listing.venues)
        and asked.type.upper() in ("", (listing.type or "").upper())
    ]
    at_home = [listing for listing in fitting if listing.country == HOME_COUNTRY]
    if asked.venue:
        return fitting[:1]
    return at_home[:1] or fitting


def _places(name: str, choices: Sequence[Listing]) -> str:
    places = dict.fromkeys(listing.exchange or listing.country or "an unnamed exchange" for listing in choices)
    return f"{name} ({', '.join(places)})"


def _row(name: str, listing: Listing) -> tuple[str | None, ...]:
    return (name, listing.name, listing.exchange, listing.currency, listing.type)
