"""Whatever happens to the feed, the database or the process: every tick is stored once, or the book says why not.

Some 5 kills and 4 s without a database by default; with RELIABILITY=full 20 kills and 10 s, and the run writes the
table of docs/explanation/failure-modes.md. RELIABILITY_TIMESCALEDB=1 takes the TimescaleDB build of the other tests.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from psycopg.conninfo import make_conninfo

from candleworks import clock
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.migrations import migrate
from candleworks.settings import Settings, load_settings
from candleworks.simulate import RunningSimulator, running_simulator
from tests.acceptance.ledger import Account, Ledger
from tests.acceptance.proxy import Proxy
from tests.cli.commands import ended, started
from tests.conftest import timescaledb_build
from tests.feed.failing_database import accept_ticks, refuse_ticks, set_read_only
from tests.feed.streaming import count, streaming, until

FULL = os.environ.get("RELIABILITY") == "full"
TIMESCALEDB = os.environ.get("RELIABILITY_TIMESCALEDB") == "1"
KILLS = 20 if FULL else 5
AWAY_SECONDS = 10 if FULL else 4
RATE = 300
SYMBOLS = ("AAPL", "MSFT", "BTC/USD", "ETH/USD", "EUR/USD")
REPORT = Path(__file__).parents[2] / "docs" / "explanation" / "failure-modes.md"

pytestmark = pytest.mark.timeout(600)


@dataclass
class World:
    """A simulator behind a proxy, a server of its own, and the ingest between them as a process."""

    server: EmbeddedServer
    simulator: RunningSimulator
    proxy: Proxy
    directory: Path
    dsn: str
    journal: Path
    process: subprocess.Popen[str] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        feed = f"ws://127.0.0.1:{self.proxy.port}/v1/quotes/price"
        self.process = self._stack.enter_context(
            started(
                "ingest",
                directory=self.directory,
                CANDLEWORKS_FEED_URL=feed,
                CANDLEWORKS_DSN=self.dsn,
                CANDLEWORKS_HOME=self.directory / "home",
                CANDLEWORKS_CONFIG=self.directory / "candleworks.yaml",
            )
        )

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        ended(self.process)

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert ended(self.process).status == 0

    def connect(self) -> Connection:
        return connect(self.dsn)

    def flows(self) -> float:
        """Wait until something new is stored; how many seconds that took."""
        began = time.monotonic()
        with self.connect() as connection:
            before = count(connection)
            until(lambda: count(connection) > before or self._ended(), 60)
        assert not self._ended(), self.process and self.process.communicate()
        return time.monotonic() - began

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def settled(self) -> Account:
        """Stop in order, and account for everything that was sent."""
        self.flows()
        self.stop()
        with self.connect() as connection:
            account = Ledger(self.journal, connection).account()
            still_open = connection.execute(
                "SELECT count(*) FROM feed_gaps WHERE ended_at IS NULL AND reason <> 'stopped'"
            ).fetchone()
        assert still_open == (0,)
        assert account.stored > 0
        return account

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, rate=RATE) as world:
        yield world


@contextmanager
def a_world(tmp_path: Path, *, max_age_days: int | None = 30, **simulated: Any) -> Iterator[World]:
    """`simulated` says what the simulator sends."""
    configuration = {"feeds": [{"symbols": SYMBOLS}], "ingest": {"max_age_days": max_age_days}}
    (tmp_path / "candleworks.yaml").write_text(json.dumps(configuration))
    server = EmbeddedServer(tmp_path / "server", timescaledb_build() if TIMESCALEDB else None)
    journal = tmp_path / "journal"
    with (
        server.use() as dsn,
        running_simulator(symbols=SYMBOLS, journal=journal, process=True, **simulated) as simulator,
        Proxy(("127.0.0.1", simulator.port)).running() as proxy,
    ):
        migrate(dsn, load_settings({"CANDLEWORKS_HOME": str(tmp_path / "home")}))
        world = World(server, simulator, proxy, tmp_path, dsn, journal)
        world.start()
        world.flows()
        try:
            yield world
        finally:
            world.close()


def report(case: str, account: Account | None, seconds: float | None) -> None:
    """Write a line into the table of docs/explanation/failure-modes.md, in place of the last one about the case."""
    if FULL and not TIMESCALEDB:
        recovery = "" if seconds is None else f"{seconds:.1f} s"
        counts = [f"{number:,}" for number in account] if account else [""] * len(Account._fields)
        row = f"| {' | '.join([case, *counts, recovery])} |"
        lines = REPORT.read_text().splitlines()
        about = case.split(",", maxsplit=1)[0]
        kept = [line for line in lines if not line.startswith((f"| {about},", f"| {about} |"))]
        end = max(number for number, line in enumerate(kept) if line.startswith("|"))
        REPORT.write_text("\n".join([*kept[: end + 1], row, *kept[end + 1 :], ""]))


def cut(world: World) -> None:
    world.proxy.cut()


def clean_close(world: World) -> None:
    world.simulator.close_clients(1001)


def drop(world: World) -> None:
    world.simulator.drop_clients()


def half_frame(world: World) -> None:
    world.proxy.break_a_frame()


def huge_frame(world: World) -> None:
    """A byte more than a message may have ends the connection from our side."""
    world.simulator.send("x", repeat=2**20 + 1)


def refused_for_a_while(world: World) -> None:
    world.proxy.refuse(True)
    world.proxy.cut()
    time.sleep(3)
    world.proxy.refuse(False)


CUTS: dict[str, Callable[[World], None]] = {
    "connection reset by the network": cut,
    "clean close (1001)": clean_close,
    "connection dropped by the vendor": drop,
    "half a frame, then a reset": half_frame,
    "a frame over 1 MB": huge_frame,
    "network away for 3 s": refused_for_a_while,
}


def test_every_end_of_a_connection_is_recovered_from(world: World) -> None:
    """After each the feed streams again; what was missed lies in a gap that is closed, with its reason."""
    seconds = []
    for end in CUTS.values():
        before = closed_gaps(world)
        end(world)
        began = time.monotonic()
        until(lambda before=before: closed_gaps(world) > before, 60)
        world.flows()
        seconds.append(time.monotonic() - began)
    account = world.settled()
    for case, taken in zip(CUTS, seconds, strict=True):
        report(case, None, taken)
    report("all of these, one after the other", account, None)
    with world.connect() as connection:
        reasons = [row[0] for row in connection.execute("SELECT reason FROM feed_gaps ORDER BY id").fetchall()]
    assert reasons == ["dropped", "closed", *["dropped"] * 4, "stopped"]


PEERS: dict[str, bytes] = {
    "the banner of an SSH server instead of a handshake": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "a TLS alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "half an answer": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs",
    "HTTP 429": b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
    "HTTP 503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


def test_every_answer_to_a_handshake_is_recovered_from(world: World) -> None:
    """What answers in the vendor's place, a proxy or a wrong address, ends neither the feed nor what follows."""
    seconds = []
    for answer in PEERS.values():
        world.proxy.answer(answer)
        world.proxy.cut()
        time.sleep(3)
        world.proxy.answer(None)
        seconds.append(world.flows())
    account = world.settled()
    for case, taken in zip(PEERS, seconds, strict=True):
        report(f"{case}, for 3 s", None, taken)
    report("all of these answers, one after the other", account, None)


def closed_gaps(world: World) -> int:
    with world.connect() as connection:
        row = connection.execute("SELECT count(*) FROM feed_gaps WHERE ended_at IS NOT NULL").fetchone()
    assert row
    return int(row[0])


def test_kill_at_any_moment(world: World) -> None:
    """SIGKILL at random moments: nothing is doubled, and what was lost lies in the gap that the next start books."""
    moments = random.Random(7)
    seconds = []
    for _ in range(KILLS):
        time.sleep(moments.uniform(0, 0.7))
        world.kill()
        world.start()
        seconds.append(world.flows())
    account = world.settled()
    report(f"kill -9, {KILLS} times", account, max(seconds))
    with world.connect() as connection:
        crashes = connection.execute("SELECT count(*) FROM feed_gaps WHERE reason = 'crashed'").fetchone()
    assert crashes == (KILLS,)


def test_database_away_and_killed_meanwhile(world: World) -> None:
    """Ticks go to disk; a kill -9 and a new start without a database lose nothing but what the gap book says."""
    world.server.stop()
    time.sleep(AWAY_SECONDS)
    world.kill()
    assert list((world.directory / "home" / "spool").rglob("*.spool"))
    torn = max((world.directory / "home" / "spool").rglob("*.spool"))
    with torn.open("ab") as file:
        file.write(b"\x40\x00\x00\x00 half a record")
    world.start()
    time.sleep(AWAY_SECONDS)
    world.server.revive()
    seconds = world.flows()
    account = world.settled()
    report(f"PostgreSQL away for {2 * AWAY_SECONDS} s, kill -9 and a torn record meanwhile", account, seconds)
    assert not list((world.directory / "home" / "spool").rglob("*.spool"))


def test_database_restarted(world: World) -> None:
    """A restart of the database loses nothing at all."""
    world.server.stop()
    time.sleep(AWAY_SECONDS)
    world.server.revive()
    seconds = world.flows()
    account = world.settled()
    report(f"PostgreSQL stopped for {AWAY_SECONDS} s", account, seconds)
    assert account.in_gaps == 0


@contextmanager
def read_only(admin: Connection) -> Iterator[None]:
    """As after a failover, or where a provider protects a full disk."""
    set_read_only(admin, "on")
    yield
    set_read_only(admin, "off")


@contextmanager
def no_connections(admin: Connection) -> Iterator[None]:
    """All connections end, and no new one is accepted."""
    admin.execute("ALTER DATABASE candleworks ALLOW_CONNECTIONS off")
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'candleworks'")
    yield
    admin.execute("ALTER DATABASE candleworks ALLOW_CONNECTIONS on")


@contextmanager
def full_disk(admin: Connection) -> Iterator[None]:
    """Every tick is answered with SQLSTATE 53100."""
    with connect(make_conninfo(admin.info.dsn, dbname="candleworks")) as connection:
        refuse_ticks(connection, "53100")
        yield
        accept_ticks(connection)


FAILURES: dict[str, Callable[[Connection], AbstractContextManager[None]]] = {
    "PostgreSQL read-only": read_only,
    "PostgreSQL accepts no connection": no_connections,
    "PostgreSQL's disk full": full_disk,
}


def test_a_database_that_does_not_store_loses_nothing(world: World) -> None:
    """It is there and does not store: ticks go to disk, and are all stored afterwards."""
    seconds = []
    for failure in FAILURES.values():
        with connect(make_conninfo(world.dsn, dbname="postgres")) as admin, failure(admin):
            time.sleep(AWAY_SECONDS)
            assert list((world.directory / "home" / "spool").rglob("*.spool"))
        seconds.append(world.flows())
    account = world.settled()
    for case, taken in zip(FAILURES, seconds, strict=True):
        report(f"{case}, for {AWAY_SECONDS} s", None, taken)
    report("all of these failures, one after the other", account, None)
    assert (account.in_gaps, account.rejected) == (0, 0)


def test_stopped_while_a_table_is_locked(world: World) -> None:
    """What could not be stored is stored by the next start; the time between both is a gap."""
    with world.connect() as locking, locking.transaction():
        locking.execute("LOCK TABLE stocks_real_time IN EXCLUSIVE MODE")
        time.sleep(AWAY_SECONDS)
        began = time.monotonic()
        world.stop()
        assert time.monotonic() - began < 10
    world.start()
    seconds = world.flows()
    account = world.settled()
    report(f"table locked for {AWAY_SECONDS} s, stopped and started meanwhile", account, seconds)
    with world.connect() as connection:
        assert connection.execute("SELECT count(*) FROM feed_gaps WHERE reason <> 'stopped'").fetchone() == (0,)


def test_garbage(world: World) -> None:
    """Frames of every kind of nonsense are kept with a reason, and the stream goes on."""
    garbage = ["", "\x00\x01", "[]", '{"event":"price"}', '{"event":"price","symbol":7}']
    for text in garbage:
        assert world.simulator.send(text) == 1
    for text, repeat in (("{", 50_000), ("ü", 2**19)):
        assert world.simulator.send(text, repeat=repeat) == 1
    world.flows()
    account = world.settled()
    report(f"{len(garbage) + 2} garbage frames, one of 1 MB", account, None)
    with world.connect() as connection:
        assert connection.execute("SELECT count(*) FROM rejected_ticks").fetchone() == (len(garbage) + 2,)
    assert account.in_gaps == 0


def test_frames_of_nearly_a_megabyte(world: World) -> None:
    """Buffers are bounded in bytes: the vendor is slowed down before memory grows."""
    frames = 1_000 if FULL else 200
    assert world.process
    process = psutil.Process(world.process.pid)
    before = highest = process.memory_info().rss
    with world.connect() as locking, locking.transaction():
        locking.execute("LOCK TABLE rejected_ticks IN EXCLUSIVE MODE")
        for _ in range(frames):
            world.simulator.send("x", repeat=900_000)
            highest = max(highest, process.memory_info().rss)
    with world.connect() as connection:
        until(lambda: connection.execute("SELECT count(*) FROM rejected_ticks").fetchone() == (frames,), 300)
        highest = max(highest, process.memory_info().rss)
    seconds = world.flows()
    account = world.settled()
    report(f"{frames:,} garbage frames of 0.9 MB, memory +{(highest - before) / 1e6:.0f} MB", account, seconds)
    assert highest - before < 400_000_000


def test_burst_of_200_000_ticks(tmp_path: Path) -> None:
    """As fast as the connection carries them: every tick is stored once."""
    recording = tmp_path / "burst.csv"
    event_times = (f"2022-10-19 20:{n // 20_000:02d}:{n // 400 % 50:02d}+00" for n in range(200_000))
    lines = [f"{event_time},AAPL,{100 + n / 1_000}," for n, event_time in enumerate(event_times)]
    recording.write_text("\n".join(["time,symbol,price,day_volume", *lines]))
    simulated: dict[str, Any] = {"replay": recording, "speed": 0.0, "keep_times": True}
    with a_world(tmp_path, max_age_days=None, **simulated) as world, world.connect() as connection:
        began = time.monotonic()
        until(lambda: count(connection) == 200_000, 120)
        seconds = time.monotonic() - began
        world.stop()
        account = Ledger(world.journal, connection).account()
    report("burst of 200,000 ticks", account, seconds)
    assert account.stored == 200_000


def test_stalled_database(tmp_path: Path) -> None:
    """While nothing can be written, ticks go to disk and memory stays bounded; afterwards all of them are stored."""
    seconds, rate = (60 if FULL else 6), 5_000
    with a_world(tmp_path, rate=rate) as world:
        assert world.process
        process = psutil.Process(world.process.pid)
        before = process.memory_info().rss
        with world.connect() as locking, locking.transaction():
            locking.execute("LOCK TABLE stocks_real_time IN EXCLUSIVE MODE")
            time.sleep(seconds)
            grown = process.memory_info().rss - before
            spooled = sum(path.stat().st_size for path in (tmp_path / "home" / "spool").rglob("*.spool"))
            began = time.monotonic()
        with world.connect() as connection:
            waiting = "SELECT spool_depth, lag_ms_max FROM ingest_stats ORDER BY at DESC LIMIT 1"
            depth = "SELECT max(spool_depth) > 20000, max(lag_ms_max) > 3000 FROM ingest_stats"
            assert connection.execute(depth).fetchone() == (True, True), connection.execute(waiting).fetchone()
            until(lambda: (connection.execute(waiting).fetchone() or (rate,))[0] < rate, 120)
        taken = time.monotonic() - began
        account = world.settled()
    report(f"database stalled for {seconds} s at {rate:,} ticks/s, memory +{grown / 1e6:.0f} MB", account, taken)
    assert account.in_gaps == 0
    assert grown < 100_000_000
    assert spooled > 20_000 * 100


def test_clock_steps_backwards(settings: Settings, connection: Connection, tmp_path: Path) -> None:
    """Ticks that then come from too far in the future are kept in the quarantine; the others are stored as ever."""
    journal = tmp_path / "journal"
    real, steps_us = clock.now_us, [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now_us", lambda: real() + sum(steps_us))
        with (
            running_simulator(rate=RATE, symbols=SYMBOLS, journal=journal, process=True) as simulator,
            streaming(settings, simulator.feed_url, *SYMBOLS),
        ):
            for step_us in (0, -30_000_000, -90_000_000, 120_000_000):
                steps_us.append(step_us)
                time.sleep(1.5)
            before = count(connection)
            until(lambda: count(connection) > before)
    account = Ledger(journal, connection).account()
    report("clock 30 s and 120 s back", account, None)
    assert account.in_gaps == 0
    assert account.rejected > 0
    assert account.sent == account.stored + account.rejected
