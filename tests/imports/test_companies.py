"""Who is behind the symbols: from the vendor's lists and from files."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.errors import CandleworksError, TerminalError, TransientError, UsageError
from candleworks.imports.companies import CompanyReport, sync_companies
from candleworks.settings import Feed, Settings
from candleworks.simulate import running_simulator
from tests.serving import in_background

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # company is one table everywhere
SECRET = "s3cret-key"
HOME = "United States"
DOLLARS = {"currency_quote": "US Dollar"}
LISTS = {
    "/stocks": [
        {"symbol": "RY", "name": "Royal Bank", "currency": "CAD", "exchange": "TSX", "mic_code": "XTSE"},
        {"symbol": "VOD", "name": "Vodafone", "currency": "GBp", "exchange": "LSE", "country": "United Kingdom"},
        {"symbol": "VOD", "name": "Vodafone", "currency": "EUR", "exchange": "XETR", "country": "Germany"},
        {"symbol": "AAPL", "name": "Apple", "currency": "EUR", "exchange": "XETR", "country": "Germany"},
        {
            "symbol": "AAPL",
            "name": "Apple Inc",
            "exchange": "NASDAQ",
            "country": "United States",
            "type": "Common Stock",
        },
        {"symbol": "DULL", "name": "", "currency": "", "exchange": "", "country": "", "type": ""},
        {"name": "nobody"},
        None,
    ],
    "/etfs": [{"symbol": "SPY", "name": "SPDR S&P 500", "currency": "USD", "exchange": "NYSE"}],
    "/forex_pairs": [{"symbol": "EUR/USD", "currency_base": "Euro", **DOLLARS}],
    "/cryptocurrencies": [
        {
            "symbol": "EUR/USD",
            "currency_base": "Euro",
            "currency_quote": "US Dollar",
            "available_exchanges": ["Kraken"],
        },
        {
            "symbol": "BTC/USD",
            "currency_base": "Bitcoin",
            "currency_quote": "US Dollar",
            "available_exchanges": ["A", "B"],
        },
    ],
}


class Vendor:
    """A REST server that answers each path with what a test gives it, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[str], tuple[int, Any]] = lambda path: (200, {"data": LISTS[path], "status": "ok"})

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    @contextmanager
    def listening(self) -> Iterator[str]:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                vendor.asked.append((url.path, {key: value[0] for key, value in parse_qs(url.query).items()}))
                status, body = vendor.answer(url.path)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_background(server, 0.01):
            yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def sync(vendor: Vendor, settings: Settings, dsn: str) -> Iterator[Callable[..., CompanyReport]]:
    """Fills `company` for the symbols given, from the vendor's lists."""
    with vendor.listening() as url:

        def run(*symbols: Any, **options: Any) -> CompanyReport:
            from_key = {"api_key": SECRET, "rest_url": url, "dsn": dsn}
            feeds = (Feed(symbols=symbols),) if symbols else settings.feeds
            chosen = Settings.model_validate(settings.model_dump() | from_key | {"feeds": feeds})
            return sync_companies(chosen, dsn, **options)

        yield run


def companies(connection: Connection) -> list[tuple[str | None, ...]]:
    return connection.execute("SELECT symbol, name, exchange, currency, type FROM company ORDER BY symbol").fetchall()


def test_each_symbol_is_found_in_the_list_that_holds_it(
    sync: Callable[..., CompanyReport], connection: Connection
) -> None:
    """Stocks by exchange or at home, funds, currencies before coins; a second time nothing changes."""
    symbols = ("AAPL", "RY:TSX", "SPY", "EUR/USD", "BTC/USD", "DULL")
    assert sync(*symbols) == CompanyReport(stored=6, unchanged=0, credits=4)
    assert sync(*symbols) == CompanyReport(stored=0, unchanged=6, credits=4)
    assert companies(connection) == [
        ("AAPL", "Apple Inc", "NASDAQ", None, "Common Stock"),
        ("BTC/USD", "Bitcoin / US Dollar", None, "USD", "Digital Currency"),
        ("DULL", "DULL", None, None, None),
        ("EUR/USD", "Euro / US Dollar", None, "USD", "Physical Currency"),
        ("RY:TSX", "Royal Bank", "TSX", "CAD", None),
        ("SPY", "SPDR S&P 500", "NYSE", "USD", "ETF"),
    ]


def test_who_is_not_found_or_not_clear_is_named(sync: Callable[..., CompanyReport], connection: Connection) -> None:
    """Nothing is guessed: a symbol of two foreign places is stored from none of them."""
    report = sync("VOD", "NOPE", "RY:LSE", "VOD:LSE")
    assert report == CompanyReport(1, 0, unknown=("NOPE", "RY:LSE"), ambiguous=("VOD (LSE, XETR)",), credits=2)
    assert companies(connection) == [("VOD:LSE", "Vodafone", "LSE", "GBp", None)]


def test_a_symbol_may_be_configured_by_where_it_is_listed(
    sync: Callable[..., CompanyReport], connection: Connection
) -> None:
    """It is looked up there and stored under the name that its ticks have; a type narrows it as well."""
    report = sync({"symbol": "RY", "mic_code": "XTSE"}, {"symbol": "AAPL", "type": "Bond", "store_as": "BOND"})
    assert report == CompanyReport(1, 0, unknown=("BOND",), credits=2)
    assert companies(connection) == [("RY:XTSE", "Royal Bank", "TSX", "CAD", None)]


def test_a_list_that_nobody_needs_is_not_paid_for(sync: Callable[..., CompanyReport], vendor: Vendor) -> None:
    """Each list costs a credit."""
    assert sync("AAPL").credits == 1
    assert sync("EUR/USD").credits == 1
    assert vendor.paths == ["/stocks", "/forex_pairs"]


def test_what_is_known_is_not_blanked(sync: Callable[..., CompanyReport], connection: Connection) -> None:
    """Neither by an empty text nor by an absent one; what the vendor says replaces what is there."""
    connection.execute("INSERT INTO company VALUES ('DULL', 'Dull Ltd', 'AIM', 'GBP', 'Common Stock')")
    connection.execute("INSERT INTO company VALUES ('AAPL', 'An apple', NULL, 'USD', NULL)")
    assert sync("DULL", "AAPL") == CompanyReport(1, 1, credits=1)
    assert companies(connection) == [
        ("AAPL", "Apple Inc", "NASDAQ", "USD", "Common Stock"),
        ("DULL", "Dull Ltd", "AIM", "GBP", "Common Stock"),
    ]


def test_stored_symbols_are_asked_for_as_well(sync: Callable[..., CompanyReport], connection: Connection) -> None:
    """Whoever has candles, whatever is configured."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now()), candleworks.prepare_quotes(now(), now())")
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'SPY', 1)")
    connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (now(), 'EUR/USD', 1, 2)")
    assert sync("AAPL").stored == 3
    assert [row[0] for row in companies(connection)] == ["AAPL", "EUR/USD", "SPY"]


def test_everything_that_the_vendor_lists_can_be_stored(
    sync: Callable[..., CompanyReport], connection: Connection
) -> None:
    """Each symbol once, where it is clear which one is meant."""
    report = sync(every=True)
    assert (report.stored, report.unknown, report.ambiguous) == (6, (), ("VOD (LSE, XETR)",))
    assert [row[0] for row in companies(connection)] == ["AAPL", "BTC/USD", "DULL", "EUR/USD", "RY", "SPY"]


def test_lists_can_be_narrowed(sync: Callable[..., CompanyReport], vendor: Vendor) -> None:
    """The vendor does it; lists that know no country are not asked by one."""
    sync(every=True, exchange="NASDAQ")
    assert vendor.paths == ["/stocks", "/etfs", "/cryptocurrencies"]
    assert all(asked["exchange"] == "NASDAQ" for _, asked in vendor.asked)
    vendor.asked.clear()
    sync(every=True, country="Germany")
    assert vendor.paths == ["/stocks", "/etfs"]
    assert all(asked["country"] == "Germany" for _, asked in vendor.asked)


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (
            401,
            {"code": 401, "message": f"**apikey** {SECRET} is incorrect.", "status": "error"},
            TerminalError,
            "URL rejected the API key (**apikey** (key) is incorrect): correct TWELVEDATA_API_KEY.",
        ),
        (
            200,
            {"code": 429, "message": "You have run out of API credits.", "status": "error"},
            TransientError,
            "URL grants no more API credits (You have run out of API credits): wait, or set rest.credits_per_minute",
        ),
        (403, {"message": "Not your plan"}, TerminalError, "URL refused with status 403 (Not your plan): see its"),
        (
            500,
            b"<p>no</p>",
            TransientError,
            "URL/stocks gave no readable response (JSONDecodeError): check the network",
        ),
        (503, {"message": "Oh\nno"}, TransientError, "URL failed with status 503 (Oh no): try again later."),
        (200, b"{", TransientError, "URL/stocks gave no readable response (JSONDecodeError): check the network"),
        (200, {"data": {"a": 1}, "status": "ok"}, TransientError, "The vendor's list stocks does not have the"),
    ],
)
def test_a_refusal_is_one_line_without_the_key(
    sync: Callable[..., CompanyReport],
    vendor: Vendor,
    connection: Connection,
    status: int,
    body: Any,
    kind: type[CandleworksError],
    sentence: str,
) -> None:
    """Whether the status is in the answer's head or in its body; nothing is stored."""
    vendor.answer = lambda _: (status, body)
    with pytest.raises(kind) as error:
        sync("AAPL")
    text = str(error.value)
    assert re.sub(r"http://127\.0\.0\.1:[0-9]+", "URL", text).startswith(sentence)
    assert SECRET not in text
    assert "\n" not in text
    assert error.value.__cause__ is None
    assert companies(connection) == []


def test_lists_wait_for_the_credits_that_all_processes_share(
    sync: Callable[..., CompanyReport], connection: Connection
) -> None:
    """Eight a minute by default; a refusal for lack of them holds the others back as well."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        connection.execute("DELETE FROM candleworks.rest_credits; DELETE FROM candleworks.rest_pauses")

    for _ in range(8):
        assert sync("AAPL", wait=wait).credits == 1
    assert waited == []
    assert sync("AAPL", wait=wait).credits == 1
    assert len(waited) == 1


def test_a_vendor_without_credits_holds_the_other_processes_back(
    sync: Callable[..., CompanyReport], vendor: Vendor
) -> None:
    """It is asked once; whoever comes next waits."""
    vendor.answer = lambda _: (429, {"code": 429, "message": "You have run out of API credits.", "status": "error"})
    with pytest.raises(TransientError):
        sync("AAPL", wait=_give_up)
    with pytest.raises(TimeoutError):
        sync("AAPL", wait=_give_up)
    assert vendor.paths == ["/stocks"]


def _give_up(_: float) -> None:
    raise TimeoutError


def test_a_vendor_that_is_away_is_one_line(settings: Settings, dsn: str) -> None:
    """And quotes neither the key nor a traceback."""
    away = settings.model_copy(update={"rest_url": "http://127.0.0.1:1"})
    with pytest.raises(TransientError) as error:
        sync_companies(away, dsn)
    assert str(error.value).startswith(
        "http://127.0.0.1:1/stocks gave no readable response (ConnectError): check the network"
    )


def test_without_a_key_the_vendor_is_not_asked(settings: Settings, dsn: str) -> None:
    """The sentence names both ways out."""
    with pytest.raises(UsageError) as error:
        sync_companies(settings, dsn)
    assert str(error.value) == (
        "https://api.twelvedata.com requires a key: set TWELVEDATA_API_KEY, or CANDLEWORKS_REST_URL to the URL that"
        " `candleworks simulate` prints."
    )


def test_the_simulated_vendor_knows_the_default_symbols(settings: Settings, dsn: str, connection: Connection) -> None:
    """As a demonstration without a key has it."""
    with running_simulator() as simulator:
        report = sync_companies(settings.model_copy(update={"rest_url": simulator.rest_url}), dsn)
    assert report == CompanyReport(7, 0, credits=3)
    assert companies(connection)[0] == ("AAPL", "Apple Inc.", "NASDAQ", "USD", "Common Stock")


def test_a_file_fills_companies_too(settings: Settings, dsn: str, connection: Connection, tmp_path: Path) -> None:
    """Without the vendor; what the file leaves empty stays, and lines that cannot be used are counted."""
    connection.execute("INSERT INTO company VALUES ('AAPL', 'An apple', 'NASDAQ', 'USD', NULL)")
    file = tmp_path / "company.csv"
    file.write_text('symbol,name,exchange,type\nAAPL,"Apple, Inc.",,Common Stock\nMSFT\n,nobody,,\nIBM,IBM,NYSE,\n')
    report = sync_companies(settings, dsn, file=file)
    assert report == CompanyReport(2, 0, rejected=("line 3: 1 fields instead of 4", "line 4: symbol is empty"))
    assert sync_companies(settings, dsn, file=file).stored == 0
    assert companies(connection) == [
        ("AAPL", "Apple, Inc.", "NASDAQ", "USD", "Common Stock"),
        ("IBM", "IBM", "NYSE", None, None),
    ]


def test_a_file_of_something_else_is_refused(settings: Settings, dsn: str, tmp_path: Path) -> None:
    """And so is a file together with what narrows the vendor's lists."""
    file = tmp_path / "ticks.csv"
    file.write_text("time,symbol,price\n")
    with pytest.raises(TerminalError) as error:
        sync_companies(settings, dsn, file=file)
    assert str(error.value) == f"{file} is not a list of companies: its first line must name symbol and name."
    with pytest.raises(UsageError, match="Leave out --all, --exchange and --country with a file"):
        sync_companies(settings, dsn, file=file, every=True)
