"""Times read by columns are what Python's datetime makes of them one by one; clock changes included."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.engine import Engine
from candleworks.imports.times import (
    COMPACT,
    DOTTED,
    EPOCH_MS,
    ISO,
    LOCAL_ISO,
    AmbiguityState,
    TimeForm,
    read_times,
    resolve,
    texts_of,
)
from candleworks.model.trades import microseconds_of
from tests.imports.conftest import Desk

BERLIN = ZoneInfo("Europe/Berlin")
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - texts without a zone


def read(form: TimeForm, *texts: str) -> list[int | None]:
    times = read_times(texts_of(texts), form)
    return [int(us) if valid else None for us, valid in zip(times.us, times.valid, strict=True)]


@examples(max_examples=50, deadline=None)
@given(st.lists(st.tuples(moments, st.integers(-1439, 1439)), min_size=1, max_size=5))
def test_every_form_reads_what_it_wrote(drawn: list[tuple[datetime, int]]) -> None:
    """Fractions of any length, offsets of any form, all years."""
    wanted_local = [microseconds_of(moment.replace(tzinfo=UTC)) for moment, _ in drawn]
    wanted = [us - minutes * 60_000_000 for us, (_, minutes) in zip(wanted_local, drawn, strict=True)]
    signs = [f"{'-' if m < 0 else '+'}{abs(m) // 60:02}:{abs(m) % 60:02}" for _, m in drawn]
    iso = [moment.isoformat(sep=" ") + sign for (moment, _), sign in zip(drawn, signs, strict=True)]
    assert read(ISO, *iso) == wanted
    assert read(LOCAL_ISO, *(moment.isoformat() for moment, _ in drawn)) == wanted_local
    milliseconds = [us // 1000 * 1000 for us in wanted_local]
    date = [
        (f"{m.year:04}", f"{m.month:02}", f"{m.day:02}", f"{m:%H:%M:%S}.{m.microsecond // 1000:03}") for m, _ in drawn
    ]
    assert read(COMPACT, *(f"{y}{mo}{d} {clock}" for y, mo, d, clock in date)) == milliseconds
    dotted = [f"{d}.{mo}.{y} {clock} GMT{s.replace(':', '')}" for (y, mo, d, clock), s in zip(date, signs, strict=True)]
    assert read(DOTTED, *dotted) == [us - m * 60_000_000 for us, (_, m) in zip(milliseconds, drawn, strict=True)]
    assert read(EPOCH_MS, *(str(us // 1000) for us in wanted_local)) == milliseconds


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *((DOTTED, f"{day}.2023 00:00:00.000") for day in ("29.02", "31.04", "00.01", "01.00", "01.13", "32.01")),
        *((DOTTED, f"01.01.2023 {clock}") for clock in ("24:00:00", "23:60:00", "23:59:60", "1:00:00", "00:00", "")),
        *((DOTTED, f"01.01.2023 00:00:00 GMT{offset}") for offset in ("+2400", "+0060", "0100", "+1", "+01:00")),
        *((ISO, f"2023-01-01 00:00:00{offset}") for offset in ("", "+24:00", "+1", " UTC", "+00:00:x")),
        *(
            (ISO, text)
            for text in (
                "",
                " ",
                "2023-01-01",
                "0000-01-01 00:00:00Z",
                "\uff12\uff10\uff12\uff13-01-01 00:00:00Z",
                "x" * 40,
            )
        ),
        *((EPOCH_MS, text) for text in ("", "1.5", "0x10", "9" * 19, "99999999999999999", "now")),
    ],
)
def test_what_is_no_time_is_none(form: TimeForm, text: str) -> None:
    """Days that are not, clocks that go further, digits of other scripts; a good neighbour is read all the same."""
    good = "1478559600000" if form is EPOCH_MS else "2016-11-07 23:00:00Z" if form is ISO else "07.11.2016 23:00:00"
    assert read(form, text, good, text) == [None, 1_478_559_600_000_000, None]


def utc_of(*clocks: str, state: AmbiguityState | None = None) -> tuple[list[str], int]:
    """Return the UTC times of Berlin's clocks on the day of a change, - for skipped ones; and count the ambiguous."""
    naive = [datetime.fromisoformat(f"2016-{clock}").replace(tzinfo=UTC) for clock in clocks]
    times = read_times(texts_of(moment.isoformat()[:19] for moment in naive), LOCAL_ISO)
    found = resolve(times.us, times.local, "Europe/Berlin", state or AmbiguityState())
    told = [datetime.fromtimestamp(us / 1e6, UTC) for us in found.us]
    return ["-" if skipped else f"{m:%H:%M}" for m, skipped in zip(told, found.nonexistent, strict=True)], int(
        found.ambiguous.sum()
    )


def test_an_hour_that_is_told_twice_is_told_by_its_order() -> None:
    """A step back of the clock begins the second telling; without one it is the first."""
    clocks = [f"10-30 {clock}" for clock in ("01:59", "02:10", "02:50", "02:05", "02:59", "03:00")]
    assert utc_of(*clocks) == (["23:59", "00:10", "00:50", "01:05", "01:59", "02:00"], 4)
    assert utc_of(*clocks[:3], *clocks[5:]) == (["23:59", "00:10", "00:50", "02:00"], 2)


def test_an_hour_that_is_skipped_never_was() -> None:
    """The clock went from 2 to 3."""
    assert utc_of("03-27 01:59", "03-27 02:00", "03-27 02:59", "03-27 03:00") == (["00:59", "-", "-", "01:00"], 0)


def test_the_second_telling_goes_on_in_the_next_piece() -> None:
    """What follows is read with the clock that the piece before it left."""
    times = read_times(texts_of(["2016-10-30T02:50:00", "2016-10-30T02:10:00"]), LOCAL_ISO)
    clock = resolve(times.us, times.local, "Europe/Berlin", AmbiguityState()).clock
    assert utc_of("10-30 02:20", "10-30 03:20", "10-30 02:20", state=clock) == (["01:20", "02:20", "00:20"], 2)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("newest_first", [False, True])
def test_local_times_need_a_zone_and_follow_its_clock(desk: Desk, newest_first: bool) -> None:
    """Refused without --timezone, with the reason; with it two hours of one name are two, and a skipped one is none."""
    clocks = [
        *("27.03.2016 01:59:00.000", "27.03.2016 02:30:00.000", "27.03.2016 03:00:00.000"),
        *("30.10.2016 02:30:00.000", "30.10.2016 02:10:00.000"),
    ]
    lines = [f"{clock},1.2,1.1,1,1\n" for clock in clocks]
    text = "Local time,Ask,Bid,AskVolume,BidVolume\n" + "".join(reversed(lines) if newest_first else lines)
    path = desk.write(text, "BTCUSD_Ticks_x.csv")
    assert desk.refusal(path) == (
        f"BTCUSD_Ticks_x.csv has times such as '{clocks[-1 if newest_first else 0]}' without an offset from UTC:"
        " name their zone with --timezone, such as --timezone Europe/Zurich or --timezone UTC."
    )
    assert desk.refusal(path, timezone="Berlin") == (
        "Unknown --timezone Berlin: name one such as Europe/Berlin or UTC."
    )
    result = desk.take(path, timezone="Europe/Berlin")
    assert desk.summary(result) == (5, 4, 0, 1)
    assert result.ambiguous == 2
    assert desk.rejected()[0][1] == (
        f"line {5 if newest_first else 3}: time '27.03.2016 02:30:00.000' does not exist in Europe/Berlin"
    )
    assert [f"{row[0]:%m-%d %H:%M}" for row in desk.quotes()] == [
        *("03-27 00:59", "03-27 01:00", "10-30 00:30", "10-30 01:10"),
    ]


def test_zones_change_their_clocks_as_python_says() -> None:
    """Every half hour of a year, both tellings in order."""
    start = datetime(2016, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=30 * n) for n in range(2 * 24 * 366)]
    local = texts_of(f"{moment.astimezone(BERLIN):%Y-%m-%dT%H:%M:%S}" for moment in moments)
    times = read_times(local, LOCAL_ISO)
    found = resolve(times.us, times.local, "Europe/Berlin", AmbiguityState())
    assert found.us.tolist() == [microseconds_of(moment) for moment in moments]
    assert found.ambiguous.sum() == 4
