import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from candleworks.clock import now_us
from candleworks.errors import CandleworksError, TerminalError, UsageError
from candleworks.simulate import running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.recorded_market import RecordedMarket
from candleworks.simulate.recording import read_recording

Join = Callable[..., Any]
REAL = Path(__file__).parents[3] / "shared" / "data" / "stocks_real_time_2022-10-19.csv"
NEWEST_FIRST = """\
time,symbol,price,day_volume
2022-10-19 20:00:03+00,AAPL,143.035,
2022-10-19 20:00:01+00,TSLA,208.15,70
2022-10-19 20:00:01+00,AAPL,143.01,120
2022-10-19 20:00:01+00,AAPL,143.02,110
2022-10-19 20:00:01+00,AAPL,143.01,130
2022-10-19 19:59:59+00,AAPL,143.5,100
2022-10-19 19:59:59+00,UNHEARD,7.25,5
"""
IN_ORDER = [
    ("AAPL", 1666209599, 143.5, 100),
    ("UNHEARD", 1666209599, 7.25, 5),
    ("TSLA", 1666209601, 208.15, 70),
    ("AAPL", 1666209601, 143.01, 120),
    ("AAPL", 1666209601, 143.02, 110),
    ("AAPL", 1666209601, 143.01, 130),
    ("AAPL", 1666209603, 143.035, None),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "ticks.csv"
    path.write_text(NEWEST_FIRST, encoding="utf-8")
    return path


def told(event: dict[str, Any]) -> tuple[str, int, float, int | None]:
    return event["symbol"], event["timestamp"], event["price"], event.get("day_volume")


def test_a_recording_is_sent_in_the_order_of_its_arrival(join: Join, recording: Path) -> None:
    """Oldest second first, within a second the file's order, digits and missing volumes kept; then it is quiet."""
    with running_simulator(replay=recording, speed=0, keep_times=True) as simulator:
        feed = join(simulator)
        assert feed.subscribe("AAPL,TSLA,UNHEARD")["status"] == "ok"
        assert [told(event) for event in feed.prices(7)] == IN_ORDER
        assert feed.is_silent()
        feed.say({"action": "heartbeat"})
        assert feed.event()["event"] == "heartbeat"
        assert simulator.stats()["frames_sent_by_symbol"] == {"AAPL": 5, "TSLA": 1, "UNHEARD": 1}


def test_at_full_speed_every_client_sees_all_of_its_symbols(join: Join, recording: Path) -> None:
    """A second client starts from the first tick; who asks for one symbol is sent that one only."""
    with running_simulator(replay=recording, speed=0, keep_times=True) as simulator:
        first, second = join(simulator), join(simulator)
        first.subscribe("AAPL,TSLA,UNHEARD")
        assert len(first.prices(7)) == 7
        second.subscribe("AAPL")
        assert [told(event) for event in second.prices(5)] == [tick for tick in IN_ORDER if tick[0] == "AAPL"]


def test_symbols_that_were_not_recorded_are_refused(join: Join, recording: Path) -> None:
    """Also those that the simulator could make up."""
    with running_simulator(replay=recording, speed=0) as simulator:
        acknowledged = join(simulator).subscribe("AAPL,MSFT")
    assert acknowledged["status"] == "warning"
    assert [fail["symbol"] for fail in acknowledged["fails"]] == ["MSFT"]


def test_at_real_pace_the_first_second_is_now(join: Join, recording: Path) -> None:
    """Event times keep their distances, none comes before its second, and the pace is the recording's."""
    with running_simulator(replay=recording) as simulator:
        feed = join(simulator)
        begun_us = now_us()
        feed.subscribe("AAPL,TSLA,UNHEARD")
        received = []
        for _ in IN_ORDER:
            event = feed.event("price")
            assert event["timestamp"] * 1_000_000 <= now_us()
            received.append(event["timestamp"])
    assert 0 <= received[0] - begun_us // 1_000_000 <= 30
    assert [event_time - received[0] for event_time in received] == [0, 0, 2, 2, 2, 2, 4]
    assert now_us() - begun_us >= 4_000_000


@pytest.mark.parametrize("speed", [0.0, 2.0, 40.0])
def test_at_other_speeds_the_last_second_is_now(join: Join, recording: Path, speed: float) -> None:
    """Event times are shifted alike, and even the last one does not lie in the future."""
    with running_simulator(replay=recording, speed=speed) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL,TSLA,UNHEARD")
        received = [event["timestamp"] for event in feed.prices(7)]
    assert [event_time - received[0] for event_time in received] == [0, 0, 2, 2, 2, 2, 4]
    assert 0 <= now_us() // 1_000_000 - received[-1] <= 30


def test_who_comes_later_joins_the_running_replay(recording: Path) -> None:
    """With a pace, a later client is given the latest tick of each symbol and then what is still to come."""
    market = RecordedMarket(read_recording(recording, built_in_catalogue()), speed=1, keep_times=True)
    rows = [market.catalogue.find_or_invent(symbol) for symbol in ("AAPL", "TSLA")]
    early, late = market.cursor(), market.cursor()
    assert len(early.subscribe(rows, 0)) == 0
    assert early.take(3_000_000, 100).prices.tolist() == [143.5, 208.15, 143.01, 143.02, 143.01]
    assert late.subscribe(rows, 3_000_000).prices.tolist() == [143.01, 208.15]
    assert late.take(5_000_000, 100).prices.tolist() == [143.035]
    assert late.ended


def test_the_connection_is_closed_at_the_end_on_request(join: Join, recording: Path) -> None:
    """After the last tick comes 1000."""
    with running_simulator(replay=recording, speed=0, close_at_end=True) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL,TSLA,UNHEARD")
        assert len(feed.prices(7)) == 7
        received = feed.closing().rcvd
    assert received is not None
    assert received.code == 1000


def test_bars_are_those_of_the_ticks_sent(join: Join, recording: Path, tmp_path: Path) -> None:
    """A series of a replayed symbol has the extremes of its ticks, and the increase of its running total."""
    journal = tmp_path / "journal.jsonl"
    with running_simulator(replay=recording, speed=0, keep_times=True, journal=journal) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL")
        feed.prices(5)
        query = {"symbol": "AAPL", "interval": "1min", "timezone": "UTC", "apikey": "demo"}
        span = {"start_date": "2022-10-19 00:00:00", "end_date": "2022-10-20 00:00:00"}
        answer = httpx.get(f"{simulator.rest_url}/time_series", params=query | span).json()
    sent = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    prices = [event["price"] for event in sent if event["timestamp"] >= 1666209600]
    assert answer["values"] == [
        {
            "datetime": "2022-10-19 20:00:00",
            "open": f"{prices[0]:.2f}",
            "high": f"{max(prices):.2f}",
            "low": f"{min(prices):.2f}",
            "close": f"{prices[-1]:.2f}",
            "volume": "30",
        },
        {
            "datetime": "2022-10-19 19:59:00",
            **dict.fromkeys(("open", "high", "low", "close"), "143.50"),
            "volume": "0",
        },
    ]


HEADER = "time,symbol,price,day_volume\n"


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", TerminalError, "starts with '': expected time,symbol,price,day_volume"),
        (HEADER.encode(), TerminalError, "contains no ticks: give a CSV with rows below time,symbol,price,day_volume"),
        (b"a,b\n1,2\n", TerminalError, "starts with 'a,b': expected time,symbol,price,day_volume"),
        (b"\xff\xfe\x00", TerminalError, "is not UTF-8 text: give a CSV with time,symbol,price,day_volume"),
        (
            (HEADER + "2022-10-19 20:00:00+00,AAPL,1,\n2022-10-19 20:00:00+00,AAPL\n").encode(),
            TerminalError,
            "line 3 is not a tick (not enough values to unpack (expected 4, got 2)): 2022-10-19 20:00:00+00,AAPL",
        ),
        (
            (HEADER + "2022-10-19 20:00:00,AAPL,1,\n").encode(),
            TerminalError,
            "line 2 is not a tick (the time 2022-10-19 20:00:00 has no offset): 2022-10-19 20:00:00,AAPL,1,",
        ),
        (
            (HEADER + "2022-10-19 20:00:00+00,AAPL,nan,\n").encode(),
            TerminalError,
            "line 2 is not a tick (the price nan is not a number): 2022-10-19 20:00:00+00,AAPL,nan,",
        ),
        (None, UsageError, "cannot be read: No such file or directory; give a recorded file"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(
    tmp_path: Path, content: bytes | None, kind: type[CandleworksError], message: str
) -> None:
    """The error names the file, the line where there is one, and what is expected."""
    path = tmp_path / "ticks.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as error, running_simulator(replay=path):
        pass
    assert str(error.value) == f"--replay {path} {message}"


@pytest.mark.skipif(not REAL.exists(), reason=f"the real ticks are not there: put them at {REAL}")
def test_real_ticks_arrive_completely_and_in_order(join: Join) -> None:
    """All 49,999 are sent; they are the file's rows sorted stably by time."""
    rows = [line.split(",") for line in REAL.read_text(encoding="utf-8").splitlines()[1:]]
    rows.sort(key=lambda row: row[0])
    symbols = ",".join(sorted({row[1] for row in rows}))
    with running_simulator(replay=REAL, speed=0, keep_times=True) as simulator:
        feed = join(simulator)
        acknowledged = feed.subscribe(symbols)
        received = [told(event) for event in feed.prices(len(rows))]
        assert simulator.stats()["frames_sent"] == len(rows) == 49_999
    assert acknowledged["status"] == "ok"
    assert [(symbol, price, volume) for symbol, _, price, volume in received] == [
        (symbol, float(price), int(volume) if volume else None) for _, symbol, price, volume in rows
    ]
    assert Counter(event_time for _, event_time, _, _ in received).most_common(1)[0][1] > 1
