"""Trades in columns, and times in microseconds."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candleworks.model.trades import Trades, microseconds_of, moment_of


def some(count: int) -> Trades:
    return Trades(*([f"{column.name}{index}" for index in range(count)] for column in fields(Trades)))  # type: ignore[arg-type]


def test_parts_put_together_are_the_whole() -> None:
    """Every column is cut and extended alike."""
    whole = some(5)
    assert [len(getattr(whole, column.name)) for column in fields(Trades)] == [5] * 9
    again = whole.part(0, 2)
    assert len(again) == 2
    again.extend(whole.part(2, 5))
    assert again == whole
    assert len(whole) == 5
    assert not Trades()


@pytest.mark.parametrize(
    ("us", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (1_666_180_801_000_002, datetime(2022, 10, 19, 12, 0, 1, 2, tzinfo=UTC)),
    ],
)
def test_microseconds_are_exact(us: int, moment: datetime) -> None:
    """A float of that size has no room for the last digits, so none is used."""
    assert moment_of(us) == moment
    assert microseconds_of(moment) == us


@given(st.integers(-(10**15), 4 * 10**15))
def test_every_microsecond_survives_the_way_there_and_back(us: int) -> None:
    """In any zone."""
    assert microseconds_of(moment_of(us)) == us
    assert microseconds_of(moment_of(us).astimezone(timezone(timedelta(hours=5, minutes=45)))) == us
