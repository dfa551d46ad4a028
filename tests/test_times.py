"""Times as people write them: the same forms for every option and parameter."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks import clock
from candleworks.errors import UsageError
from candleworks.times import future_time, parse_time, past_time, range_end

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
FORMS = {
    "2026-11-20": datetime(2026, 11, 20, tzinfo=UTC),
    "2026-11-20T14:30": datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
    "2026-11-20 14:30:01.5": datetime(2026, 11, 20, 14, 30, 1, 500_000, tzinfo=UTC),
    "2026-11-20T14:30:00+02:00": datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
    "2026-11-20T14:30:00Z": datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
    "1772463600": NOW,
    "999999999": datetime(2001, 9, 9, 1, 46, 39, tzinfo=UTC),
}
INVALID = ["yesterday", "", "2022", "2026-13-01", "12345678", "99999999999", "1h30m", "12 h", "12w", "-1d"]
INVALID_TIME = (
    "{!r} is not a valid time: use an ISO 8601 date or time such as 2026-11-20 or 2026-11-20T14:30:00Z (UTC unless it"
    " has an offset) or seconds since 1970 with 9 or 10 digits, or a duration such as 30m, 12h or 7d."
)


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.mark.parametrize(("text", "time"), FORMS.items())
def test_every_form_is_read_as_utc(text: str, time: datetime) -> None:
    """By requests and by options of both directions alike."""
    for read in (parse_time, past_time, future_time):
        assert read(text) == time
        assert read(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "duration"), [("30m", timedelta(minutes=30)), ("12h", timedelta(hours=12)), ("7d", timedelta(days=7))]
)
def test_a_duration_counts_from_now(text: str, duration: timedelta) -> None:
    """Back or forward, as the option means it; a request has no such form."""
    assert past_time(text) == NOW - duration
    assert future_time(text) == NOW + duration
    with pytest.raises(ValueError, match="is not an ISO 8601 date or time"):
        parse_time(text)


@pytest.mark.parametrize("text", [*INVALID, "999999d"])
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    """One sentence for all options; a duration may also lead out of the calendar."""
    with pytest.raises(UsageError) as refused:
        past_time(text)
    assert str(refused.value) == INVALID_TIME.format(text)


@pytest.mark.parametrize("text", INVALID)
def test_a_request_is_refused_the_same_texts(text: str) -> None:
    """The sentence around it is the request's own."""
    with pytest.raises(ValueError, match="is not an ISO 8601 date or time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-20", datetime(2026, 11, 21, tzinfo=UTC)),
        ("20261120", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-20T00:00", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T14:30:00+02:00", datetime(2026, 11, 20, 12, 30, tzinfo=UTC)),
        ("1772463600", NOW),
        ("12h", NOW - timedelta(hours=12)),
    ],
)
def test_the_end_of_a_range_includes_the_day_of_a_date(text: str, end: datetime) -> None:
    """A time is the end itself, midnight too."""
    assert range_end(text) == end


@pytest.mark.parametrize("text", [*INVALID, "9999-12-31"])
def test_an_end_that_is_no_time_is_refused_with_the_forms(text: str) -> None:
    """The day after the last one of the calendar is none either."""
    with pytest.raises(UsageError) as refused:
        range_end(text)
    assert str(refused.value) == INVALID_TIME.format(text)
