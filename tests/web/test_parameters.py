"""What a candle feed may be asked for."""

import re
from datetime import UTC, datetime

import pytest

from candleworks.candles.periods import parse_period
from candleworks.candles.reads import CandleRange, GapRange, Period
from candleworks.web.parameters import CANDLES, GAPS, PERIOD, BadParameterError, Parameters, read_gap_range, read_range


def usual_side(symbol: str) -> str:
    return "bid" if symbol == "EUR/USD" else "trade"


def test_defaults_are_filled_in() -> None:
    """Only the symbol is required; the rest has documented defaults, and the price side is the symbol's usual one."""
    one_minute = Period("1m", seconds=60)
    assert read_range(CANDLES.read([("symbol", "AAPL")]), usual_side) == CandleRange(
        "AAPL", one_minute, "trade", None, None, 500
    )
    assert read_range(CANDLES.read([("symbol", "EUR/USD")]), usual_side).price == "bid"
    assert read_gap_range(GAPS.read([("symbol", "AAPL")])) == GapRange("AAPL", None, None, 500)


@pytest.mark.parametrize("side", ["trade", "bid", "ask", "mid"])
def test_a_price_side_is_taken_as_given(side: str) -> None:
    """Whatever the symbol's usual one is."""
    assert read_range(CANDLES.read([("symbol", "EUR/USD"), ("price", side)]), usual_side).price == side


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("1s", Period("1s", seconds=1)),
        ("30 seconds", Period("30s", seconds=30)),
        ("1m", Period("1m", seconds=60)),
        ("90m", Period("90m", seconds=5400)),
        ("1h", Period("1h", seconds=3600)),
        ("1d", Period("1d", seconds=86_400)),
        ("1w", Period("1w", seconds=604_800)),
        ("1mo", Period("1mo", months=1)),
        ("15min", Period("15m", seconds=900)),
        ("2 hours", Period("2h", seconds=7_200)),
        ("3660d", Period("3660d", seconds=3660 * 86_400)),
    ],
)
def test_a_period_is_a_number_and_a_unit(text: str, period: Period) -> None:
    """Short names, the vendor's names and PostgreSQL's all mean the same."""
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "-5m", "0s", "60s", "1M", "1.5h", "1m ", "99999999m", "3661d", "121mo", "٣m"]
)
def test_another_period_is_refused(text: str) -> None:
    """Nothing, more seconds than a minute has, or an absurdly long period is answered with what is allowed."""
    with pytest.raises(BadParameterError) as refusal:
        Parameters(PERIOD).read([("period", text)])
    assert str(refusal.value) == (
        f"The parameter period is {text!r}, expected a number and a unit of s (up to 59), m, h, d, w or mo,"
        " such as 5s, 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years."
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-10-19", datetime(2022, 10, 19, tzinfo=UTC)),
        ("2022-10-19T20:00:00Z", datetime(2022, 10, 19, 20, tzinfo=UTC)),
        ("2022-10-19 20:00", datetime(2022, 10, 19, 20, tzinfo=UTC)),
        ("2022-10-19T20:00:00-04:00", datetime(2022, 10, 20, tzinfo=UTC)),
        ("2022-10-19T20:00:00.5 02:00", datetime(2022, 10, 19, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("1666209600", datetime(2022, 10, 19, 20, tzinfo=UTC)),
    ],
)
def test_times_are_iso_or_epoch_seconds(text: str, moment: datetime) -> None:
    """A time without zone is UTC, and a plus sign that an address turned into a space is understood."""
    assert read_range(CANDLES.read([("symbol", "A"), ("from", text)]), usual_side).start == moment


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([], "The parameter symbol is '', expected a symbol that /symbols lists, such as AAPL."),
        (
            [("symbol", "A"), ("from", "2022")],
            (
                "The parameter from is '2022', expected an ISO 8601 date or time such as 2026-11-20 or"
                " 2026-11-20T14:30:00Z (UTC unless it has an offset) or seconds since 1970 with 9 or 10 digits."
            ),
        ),
        (
            [("symbol", "A"), ("to", "0001-01-01")],
            "The parameter to is '0001-01-01', expected a time from 1900 to 2199.",
        ),
        (
            [("symbol", "A"), ("from", "2022-10-20"), ("to", "2022-10-19")],
            "The parameter from is '2022-10-20', expected a time before the parameter to, which is 2022-10-19.",
        ),
        ([("symbol", "A"), ("price", "Bid")], "The parameter price is 'Bid', expected trade, bid, ask or mid."),
        ([("symbol", "A"), ("price", "")], "The parameter price is '', expected trade, bid, ask or mid."),
        ([("symbol", "A"), ("limit", "0")], "The parameter limit is '0', expected a whole number from 1 to 50000."),
        (
            [("symbol", "A"), ("limit", "1e3")],
            "The parameter limit is '1e3', expected a whole number from 1 to 50000.",
        ),
        (
            [("symbol", "A"), ("limit", "50001")],
            "The parameter limit is '50001', expected a whole number from 1 to 50000.",
        ),
        (
            [("symbol", "A"), ("perod", "5m")],
            (
                "The parameter perod is '5m', expected one of the parameters symbol, period, from, to, price, limit,"
                " zone instead."
            ),
        ),
        (
            [("symbol", "A"), ("zone", "Mars/Olympus")],
            (
                "The parameter zone is 'Mars/Olympus', expected a time zone of the IANA database,"
                " such as America/New_York."
            ),
        ),
        ([("symbol", "A"), ("symbol", "B")], "The parameter symbol is 'A, B', expected one value."),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(items: list[tuple[str, str]], sentence: str) -> None:
    """The sentence names the parameter, the value and what is allowed."""
    with pytest.raises(BadParameterError, match=f"^{re.escape(sentence)}$"):
        read_range(CANDLES.read(items), usual_side)


def test_a_list_of_gaps_has_fewer_parameters() -> None:
    """The sentence names those that there are."""
    sentence = "The parameter period is '1m', expected one of the parameters symbol, from, to, limit instead."
    with pytest.raises(BadParameterError, match=f"^{re.escape(sentence)}$"):
        read_gap_range(GAPS.read([("symbol", "A"), ("period", "1m")]))
