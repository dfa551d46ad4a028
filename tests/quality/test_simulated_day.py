"""The simulated market, whose vendor is asked for its bars."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.quality import Report, run_checks
from tests.gapfill.filling import MINUTE, NOON, SYMBOLS, Platform, Vendor, platform_of, vendor
from tests.quality.conftest import failing

HOURS = timedelta(hours=2)
ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Vendor]:
    with vendor() as running:
        yield running


@pytest.fixture
def platform(connection: Connection, settings: object, simulated: Vendor) -> Platform:
    """Two hours of the simulated market around noon, stored by the rules of live ticks."""
    platform = platform_of(connection, settings, simulated)  # type: ignore[arg-type]
    for symbol in SYMBOLS:
        platform.store(simulated.ticks(symbol, NOON, NOON + HOURS))
    refresh(connection)
    return platform


def check(platform: Platform, suite: str = "all", until: datetime = NOON + HOURS) -> Report:
    assert platform.settings.dsn
    return run_checks(platform.settings, platform.settings.dsn.get_secret_value(), suite, NOON, until=until)


def test_a_simulated_day_raises_nothing(platform: Platform) -> None:
    """Made-up prices, volumes and shared seconds pass every check, the vendor's bars included."""
    report = check(platform)
    assert failing(report) == set()
    assert report.idle == []


@ON_PLAIN_POSTGRESQL
def test_candles_that_are_not_the_vendors_are_found(platform: Platform) -> None:
    """One minute of wrong prices: candles equal their ticks, and only the vendor knows better."""
    minute = NOON + HOURS - 20 * MINUTE
    platform.connection.execute(
        "UPDATE stocks_real_time SET price = price * 1.02 WHERE time >= %s AND time < %s", [minute, minute + MINUTE]
    )
    refresh(platform.connection)
    report = check(platform, "candles")
    ((check_name, symbol),) = failing(report)
    assert check_name == "vendor-bars"
    assert symbol in SYMBOLS
    (found,) = report.failed
    assert found.observed == "1 candle differing from the vendor's bars by up to 2.00 %"
    assert found.sample
    assert found.sample[0]["bucket"] == minute.isoformat()
    assert set(found.sample[0]["vendor"]) == set(found.sample[0]["stored"]) == {"open", "high", "low", "close"}
    for seconds in (1, 2, 3):  # other samples, were it not for the trouble
        assert failing(check(platform, "candles", NOON + HOURS - timedelta(seconds=seconds))) == {
            ("vendor-bars", symbol)
        }


@ON_PLAIN_POSTGRESQL
def test_without_a_credit_to_spare_nobody_waits_for_bars(platform: Platform) -> None:
    """Filling gaps comes first; the check is passed over, and nothing is claimed."""
    platform.settings = platform.with_rest(credits_per_minute=1, credits_per_day=1)
    assert check(platform, "candles").idle == []
    report = check(platform, "candles")
    assert report.idle == ["vendor-bars"]
    assert failing(report) == set()


@ON_PLAIN_POSTGRESQL
def test_new_candles_are_compared_once_an_hour(platform: Platform) -> None:
    """A run every five minutes does not spend a credit each time."""
    assert platform.settings.dsn
    dsn = platform.settings.dsn.get_secret_value()
    asked = [
        "vendor-bars" not in run_checks(platform.settings, dsn, "candles", until=NOON + minutes * MINUTE).idle
        for minutes in (30, 35, 80, 95)
    ]
    assert asked == [True, False, False, True]
