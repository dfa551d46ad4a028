"""Fills `company`: from the vendor's lists for the symbols that are configured or stored, or from a CSV file."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from candleworks import clock
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.errors import TerminalError, UsageError
from candleworks.imports.company_csv import is_companies, parse_companies
from candleworks.imports.text import read_text
from candleworks.settings import Instrument, Settings
from candleworks.storage.companies import merge_companies, stored_symbols
from candleworks.vendor.credits import Credits
from candleworks.vendor.symbol_lists import Listing, SymbolLists

HOME_COUNTRY = "United States"  # where the vendor looks first for a symbol without an exchange


@dataclass(frozen=True)
class CompanyReport:
    """What became of the symbols. `stored` counts new or changed rows of `company`, `credits` lists that were paid for.

    `ambiguous` are symbols that several exchanges list, each with their names; `rejected` are lines of a file with the
    reason.
    """

    stored: int
    unchanged: int
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    credits: int = 0


@dataclass(frozen=True)
class _Wanted:
    """A symbol as it is stored, and what the configuration says about where it is listed."""

    name: str
    symbol: str
    venue: str = ""
    type: str = ""

    @property
    def is_pair(self) -> bool:
        return "/" in self.symbol


@dataclass(frozen=True)
class _Kind:
    """One of the vendor's lists, and whether it holds pairs."""

    of_pairs: bool
    read: Callable[[], list[Listing]]


@dataclass
class _Found:
    """Whom the vendor's lists name, by the stored name of the symbol."""

    listings: dict[str, Listing] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()

    @classmethod
    def of(cls, wanted: Sequence[_Wanted], kinds: Sequence[_Kind]) -> "_Found":
        """Look the symbols up, list by list; a list that nobody is left for is not paid for."""
        found, unclear = cls(), dict[str, str]()
        for kind in kinds:
            left = [
                asked
                for asked in wanted
                if asked.is_pair is kind.of_pairs and asked.name not in found.listings and asked.name not in unclear
            ]
            by_symbol = _by_symbol(kind.read()) if left else {}
            for asked in left:
                choices = _fitting(asked, by_symbol.get(asked.symbol, []))
                if len(choices) == 1:
                    found.listings[asked.name] = choices[0]
                elif choices:
                    unclear[asked.name] = _places(asked.name, choices)
        found.unknown = tuple(
            each.name for each in wanted if each.name not in found.listings and each.name not in unclear
        )
        found.ambiguous = tuple(unclear.values())
        return found

    @classmethod
    def of_everything(cls, kinds: Sequence[_Kind]) -> "_Found":
        """Take every symbol by its plain name; of several places the one that a plain name means."""
        found, unclear = cls(), dict[str, str]()
        for kind in kinds:
            for symbol, listings in _by_symbol(kind.read()).items():
                choices = _fitting(_Wanted(symbol, symbol), listings)
                if len(choices) == 1:
                    found.listings.setdefault(symbol, choices[0])
                else:
                    unclear[symbol] = _places(symbol, choices)
        found.ambiguous = tuple(text for symbol, text in unclear.items() if symbol not in found.listings)
        return found


def sync_companies(
    settings: Settings,
    dsn: str,
    *,
    file: Path | None = None,
    every: bool = False,
    exchange: str | None = None,
    country: str | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> CompanyReport:
    """Fill name, exchange, currency and type; what is known already is never replaced by nothing.

    Without a file the vendor's lists are asked for the configured and the stored symbols, or with `every` for all that
    it has; `exchange` and `country` narrow the lists, and `wait` is called with the seconds until there is a credit for
    the next one. With a file only that is read. Raises TransientError (vendor or
    database away, credits used up), TerminalError (key refused, unusable file) or UsageError.
    """
    if file is not None and (every or exchange or country):
        raise UsageError("A file of companies is stored as it is: leave out --all, --exchange and --country with it.")
    with transient_errors(dsn), connect(dsn, "sync-companies", profile=WRITER) as connection:
        if file is not None:
            return _from_file(connection, file)
        budget = Credits(connection, settings, wait)
        kinds = _kinds(SymbolLists(settings, budget), exchange, country)
        if every:
            found = _Found.of_everything(kinds)
        else:
            found = _Found.of(_wanted(settings, stored_symbols(connection)), kinds)
        stored = merge_companies(connection, [_row(name, listing) for name, listing in found.listings.items()])
        return CompanyReport(stored, len(found.listings) - stored, found.unknown, found.ambiguous, credits=budget.spent)


def _from_file(connection: Connection, path: Path) -> CompanyReport:
    text = read_text(path).text
    header = [name.strip(' "\r').lower() for name in text.partition(b"\n")[0].decode().split(",")]
    if not is_companies(header):
        raise TerminalError(f"{path} is no list of companies: its first line must name symbol and name.")
    parsed = parse_companies(text, header, clock.now_us())
    stored = merge_companies(connection, parsed.rows)
    reasons = tuple(rejection.reason for rejection in parsed.rejections)
    return CompanyReport(stored, len({row[0] for row in parsed.rows}) - stored, rejected=reasons)


def _wanted(settings: Settings, stored: Iterable[str]) -> list[_Wanted]:
    """Configured symbols first: they may say more about where they are listed than a stored name does."""
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


def _kinds(lists: SymbolLists, exchange: str | None, country: str | None) -> list[_Kind]:
    """Order the lists as a plain name is meant: stocks before ETFs, currencies before coins.

    Currencies have no exchange and pairs no country: asked by either, they cannot be meant.
    """
    kinds = [
        _Kind(False, lambda: lists.stocks(exchange, country)),
        _Kind(False, lambda: lists.etfs(exchange, country)),
    ]
    if not (exchange or country):
        kinds.append(_Kind(True, lists.forex_pairs))
    if not country:
        kinds.append(_Kind(True, lambda: lists.cryptocurrencies(exchange)))
    return kinds


def _by_symbol(listings: Iterable[Listing]) -> dict[str, list[Listing]]:
    by_symbol: dict[str, list[Listing]] = {}
    for listing in listings:
        by_symbol.setdefault(listing.symbol.upper(), []).append(listing)
    return by_symbol


def _fitting(asked: _Wanted, listings: Sequence[Listing]) -> list[Listing]:
    """Return the one listing that is meant; several where that is not clear."""
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
    places = dict.fromkeys(listing.exchange or listing.country or "an unnamed place" for listing in choices)
    return f"{name} ({', '.join(places)})"


def _row(name: str, listing: Listing) -> tuple[str | None, ...]:
    return (name, listing.name, listing.exchange, listing.currency, listing.type)
