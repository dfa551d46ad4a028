"""Quotes obey the rules of trades: each as often as the richest source has it, and none that is crossed."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.database.engine import Engine
from candleworks.imports import chunks
from tests.imports.conftest import Desk

HEADER = "Gmt time,Ask,Bid,AskVolume,BidVolume\n"
NAME = "EURUSD_Ticks_x.csv"
# Some days ago: TimescaleDB's first refresh takes a step for each ten days from the oldest tick on.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
MILLISECOND = timedelta(milliseconds=1)
on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
Quote = tuple[datetime, float, float, float | None, float | None]


def recording(count: int) -> list[Quote]:
    """Quotes of which many share a millisecond and some equal each other."""
    drawn = random.Random(1)
    rows: list[Quote] = []
    event_time = NOON
    for _ in range(count):
        event_time += MILLISECOND * drawn.choice([0, 0, 1, 20_000])
        bid = drawn.randint(110_398, 110_400) / 100_000
        rows.append((event_time, bid, bid + 0.00003, drawn.choice([None, 0.75]), 1.5))
    return [(event_time, bid, round(ask, 5), *volumes) for event_time, bid, ask, *volumes in rows]  # type: ignore[misc]


def lines_of(rows: list[Quote]) -> str:
    return "".join(
        f"{event_time:%d.%m.%Y %H:%M:%S}.{event_time.microsecond // 1000:03},{ask},{bid},{ask_volume},"
        f"{'' if bid_volume is None else bid_volume}\n"
        for event_time, bid, ask, bid_volume, ask_volume in rows
    )


def stored(desk: Desk) -> list[Quote]:
    """Return what is there by its event times; raises when an ordinal was left out."""
    found: list[Quote] = []
    ordinal = 0
    for time, _, *values in desk.quotes():
        event_time = time - (time - datetime(1970, 1, 1, tzinfo=UTC)) % MILLISECOND
        ordinal = ordinal + 1 if found and found[-1][0] == event_time else 0
        assert time - event_time == timedelta(microseconds=ordinal), "ordinals are dense"
        found.append((event_time, *values))  # type: ignore[arg-type]
    return found


def test_half_a_recording_is_completed_by_the_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each quote as often as it happened, in pieces of a few lines; candles follow at once, and again adds nothing."""
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 2_000)
    rows = recording(80)
    desk.take(desk.write(HEADER + lines_of(rows[::2]), NAME))
    assert desk.summary(desk.take(desk.write(HEADER + lines_of(rows), NAME))) == (80, 40, 40, 0)
    assert Counter(stored(desk)) == Counter(rows)
    assert desk.connection.execute("SELECT sum(ticks), max(ask_high) FROM quote_candles_1m").fetchone() == (
        *(80, max(row[2] for row in rows)),
    )
    assert desk.summary(desk.take(desk.write(HEADER + lines_of(rows), NAME), again=True)) == (80, 0, 80, 0)


@on_postgres
def test_a_new_recording_keeps_its_order(desk: Desk) -> None:
    """Newest first or oldest first: quotes of one millisecond are in order of their lines."""
    rows = recording(60)
    backwards = [
        row for event_time in sorted({row[0] for row in rows}, reverse=True) for row in rows if row[0] == event_time
    ]
    for text in (lines_of(rows), lines_of(backwards)):
        desk.connection.execute("DELETE FROM quotes")
        desk.take(desk.write(HEADER + text, NAME))
        assert stored(desk) == rows


@on_postgres
def test_the_second_symbol_of_a_file_may_be_there_already(desk: Desk) -> None:
    """Symbols that meet nobody are copied, those that do are compared."""
    lines = "".join(
        f"{symbol},20161108 12:00:00.{n:03},1.1,1.2\n" for n in range(20) for symbol in ("EUR/USD", "GBP/USD")
    )
    desk.take("".join(line for line in lines.splitlines(keepends=True)[:10] if line.startswith("GBP")))
    assert desk.summary(desk.take(lines)) == (40, 35, 5, 0)
    assert Counter(row[1] for row in desk.quotes()) == {"EUR/USD": 20, "GBP/USD": 20}


@on_postgres
def test_a_millisecond_holds_a_thousand_quotes(desk: Desk) -> None:
    """Those beyond are kept with their lines."""
    line = "08.11.2016 12:00:00.001,1.2,1.1,1,1\n"
    result = desk.take(desk.write(HEADER + line * 1_002, NAME))
    assert desk.summary(result) == (1_002, 1_000, 0, 2)
    reason = "its symbol already has 1,000 ticks with its event time"
    assert [row[1] for row in desk.rejected()] == [f"line {number}: {reason}" for number in (1_002, 1_003)]


EVENT_TIME = "08.11.2016 12:00:00.000"
BROKEN = {
    f"{EVENT_TIME},1.1,1.2,1,1": "ask 1.1 is below bid 1.2",
    f"{EVENT_TIME},NaN,1.1,1,1": "ask 'NaN' is not a number",
    f"{EVENT_TIME},1.2,,1,1": "bid '' is not a number",
    f"{EVENT_TIME},,,,": "bid '' is not a number",
    f"{EVENT_TIME},1.2,-1,1,1": "bid '-1' is negative",
    f"{EVENT_TIME},inf,1.1,1,1": "ask 'inf' is not a number",
    f"{EVENT_TIME},1.2,1.1,1,-1": "bid_volume '-1' is negative",
    f"{EVENT_TIME},1.2,1.1,x,1": "ask_volume 'x' is not a number",
    f"{EVENT_TIME},1,2,1,1,1,1": "7 fields instead of 5",
    "08.11.2016 12:00:00.0": "1 fields instead of 5",
    "2016.11.08 12:00:00.000,1.2,1.1,1,1": (
        "time '2016.11.08 12:00:00.000' is not a time such as 08.11.2016 00:00:00.054"
    ),
    "11/08/2016 12:00:00.000,1.2,1.1,1,1": (
        "time '11/08/2016 12:00:00.000' is not a time such as 08.11.2016 00:00:00.054"
    ),
    "11.13.2016 12:00:00.000,1.2,1.1,1,1": (
        "time '11.13.2016 12:00:00.000' is not a time such as 08.11.2016 00:00:00.054"
    ),
    "31.12.1989 12:00:00.000,1.2,1.1,1,1": "time '31.12.1989 12:00:00.000' is before 1990",
    "08.11.2216 12:00:00.000,1.2,1.1,1,1": "time '08.11.2216 12:00:00.000' is in the future",
    "Gmt time,Ask,Bid,AskVolume,BidVolume": "time 'Gmt time' is not a time such as 08.11.2016 00:00:00.054",
}


@on_postgres
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_broken_quotes_are_kept_with_their_lines(desk: Desk, ends: str) -> None:
    """Each is counted; the lines around it are stored; a mark and CRLF change nothing; the last line is cut off."""
    good = "08.11.2016 12:00:00.500,1.2,1.1,1,1"
    lines = [part for line in BROKEN for part in (good, line)]
    text = "\ufeff" + HEADER.strip() + ends + ends.join([*lines, "08.11.2016 12:0"])
    result = desk.take(desk.write(text, NAME))
    assert desk.summary(result) == (2 * len(BROKEN) + 1, len(BROKEN), 0, len(BROKEN) + 1)
    assert [row[1:] for row in desk.rejected()] == [
        *((f"line {3 + 2 * index}: {reason}", line) for index, (line, reason) in enumerate(BROKEN.items())),
        (f"line {2 * len(BROKEN) + 2}: 1 fields instead of 5", "08.11.2016 12:0"),
    ]
    assert len(stored(desk)) == len(BROKEN)
    assert result.examples == tuple(row[1] for row in desk.rejected()[:5])


@on_postgres
def test_a_decimal_comma_is_refused_line_by_line(desk: Desk) -> None:
    """Between semicolons as well as between commas and in quotes: no price is guessed."""
    comma = "Gmt time;Ask;Bid;AskVolume;BidVolume\n08.11.2016 12:00:00.000;1,2;1,1;1;1\n"
    assert desk.summary(desk.take(desk.write(comma, NAME))) == (1, 0, 0, 1)
    quoted = HEADER + '08.11.2016 12:00:00.000,"1,2","1,1",1,1\n'
    assert desk.summary(desk.take(desk.write(quoted, NAME))) == (1, 0, 0, 1)
    assert [row[1] for row in desk.rejected()] == ["line 2: bid '1,1' is not a number", "line 2: 7 fields instead of 5"]


@on_postgres
def test_one_symbol_of_two_can_be_asked_for(desk: Desk) -> None:
    """A file may hold several symbols; with --symbol the others are refused line by line."""
    text = "EUR/USD,20161108 12:00:00.001,1.1,1.2\nGBP/USD,20161108 12:00:00.001,1.1,1.2\n"
    result = desk.take(text, symbol="GBP/USD")
    assert desk.summary(result) == (2, 1, 0, 1)
    assert result.examples == ("line 1: symbol 'EUR/USD' is not GBP/USD",)
