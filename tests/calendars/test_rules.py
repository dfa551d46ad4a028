"""Which calendar a symbol follows: the program and the database decide without each other, and must agree."""

from itertools import product

from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.model.trading_day import CURRENCY_CODES, calendar_of
from candleworks.settings import Calendars, load_settings
from candleworks.storage.calendars import OTHER_STOCKS, save_currencies, save_rules

from .conftest import Market

CODES = sorted(CURRENCY_CODES)
OTHER_CODES = ["BTC", "ETH", "AAA", "USDT", "US", "eur", "E1R", ""]
STORED = ["XNYS", "FX", "24/7"]
SYMBOLS = st.lists(st.sampled_from(CODES + OTHER_CODES), min_size=1, max_size=3).map("/".join).filter(bool) | (
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9./:^_-]{0,9}", fullmatch=True)
)


def calendars_of(connection: Connection, symbols: list[str]) -> list[str]:
    """What the database says."""
    rows = connection.execute("SELECT candleworks.calendar_of(s) FROM unnest(%s::text[]) WITH ORDINALITY u(s, n)"
                              " ORDER BY n", [symbols]).fetchall()  # fmt: skip
    return [calendar for (calendar,) in rows]


def test_every_pair_of_currencies_has_the_same_calendar(market: Market) -> None:
    """Of all codes that either may know, and of others."""
    symbols = ["/".join(pair) for pair in product(CODES + OTHER_CODES[:-1], repeat=2)]
    assert calendars_of(market.connection, symbols) == [calendar_of(symbol, Calendars()) for symbol in symbols]


def test_the_database_knows_no_other_currencies(market: Market) -> None:
    """Every code of three letters makes a pair with the dollar."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = ["".join(three) for three in product(letters, repeat=3)]
    rows = market.connection.execute(
        "SELECT code FROM unnest(%s::text[]) u(code) WHERE candleworks.is_currency_pair(code || '/USD')", [codes]
    ).fetchall()
    assert {code for (code,) in rows} == CURRENCY_CODES


def test_the_database_learns_new_currencies(market: Market) -> None:
    """The list stands in the program alone."""
    save_currencies(market.connection, CURRENCY_CODES - {"ZAR"} | {"XTS"})
    assert calendars_of(market.connection, ["XTS/USD", "USD/ZAR", "XTS/ZAR"]) == ["FX", "24/7", "24/7"]
    sync_calendars(market.connection, load_settings({}))
    assert calendars_of(market.connection, ["XTS/USD", "USD/ZAR"]) == ["24/7", "FX"]


@given(
    st.lists(SYMBOLS, min_size=1, max_size=50),
    st.sampled_from(STORED),
    st.dictionaries(SYMBOLS, st.sampled_from(STORED), max_size=5),
)
@example(["EUR/USD/JPY", "EUR/USD", "EUR/", "/EUR"], "XNYS", {})
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_program_and_database_follow_the_same_rules(
    market: Market, symbols: list[str], stocks: str, named: dict[str, str]
) -> None:
    """Named symbols, pairs of currencies, other pairs, and everything else."""
    asked = symbols + list(named)
    save_rules(market.connection, {OTHER_STOCKS: stocks, **named})
    calendars = Calendars.model_construct(stocks=stocks, symbols=named)
    assert calendars_of(market.connection, asked) == [calendar_of(symbol, calendars) for symbol in asked]
