"""The platform in containers: whatever is restarted, killed or full, every tick is stored once, or a gap says why not.

Needs a Docker engine with the images of docker-compose.yml (docker compose build), and CONTAINERS=full to be run. It
writes the table of docs/how-to/docker-compose.md. CONTAINERS_OLD_IMAGE names an image of candleworks with fewer
migrations; CONTAINERS_SMALL_VOLUME a directory on a file system of a few hundred MB, for the database that runs full.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candleworks.database.connection import connect
from tests.acceptance.containers import LASTING, ROOT, Containers
from tests.acceptance.ledger import Account

REPORT = ROOT / "docs" / "how-to" / "docker-compose.md"
DATABASE_AWAY_SECONDS = 120
OLD_IMAGE = os.environ.get("CONTAINERS_OLD_IMAGE")
SMALL_VOLUME = os.environ.get("CONTAINERS_SMALL_VOLUME")

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONTAINERS") != "full", reason="CONTAINERS=full runs the platform in containers"
    ),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    yield from running(tmp_path_factory.mktemp("containers"))


def running(directory: Path, **named: Any) -> Iterator[Containers]:
    """A project that is removed at the end, with its volumes."""
    containers = Containers(directory, **named)
    try:
        yield containers
    finally:
        containers.compose("--profile", "*", "down", "--volumes", "--timeout", "20", check=False)


def report(case: str, account: Account | None, seconds: float | None, outcome: str) -> None:
    """Write a line into the table of the page, in place of the last one about the case."""
    counts = [f"{number:,}" for number in account] if account else [""] * len(Account._fields)
    recovery = "" if seconds is None else f"{seconds:.0f} s"
    row = f"| {' | '.join([case, outcome, *counts, recovery])} |"
    lines = REPORT.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"| {case} |")]
    end = max(number for number, line in enumerate(kept) if line.startswith("|"))
    REPORT.write_text("\n".join([*kept[: end + 1], row, *kept[end + 1 :], ""]))


def test_fresh(containers: Containers) -> None:
    """Everything becomes healthy, ticks are stored, and the addresses are printed."""
    seconds = containers.up()
    containers.healthy()
    assert f"http://127.0.0.1:{containers.variables['CANDLEWORKS_WEB_PORT']}/" in containers.logs("addresses")
    report("fresh", containers.account(), seconds, "all services healthy, one line with the addresses")


def test_second_start(containers: Containers) -> None:
    """After a stop of everything."""
    containers.compose("stop")
    seconds = containers.up()
    containers.healthy()
    report("second start", containers.account(), seconds, "all services healthy")


def test_restart_of_each_service(containers: Containers) -> None:
    """In order."""
    seconds = [restarted(containers, service) for service in LASTING]
    report("`restart` of each service", containers.account(), max(seconds), "all services healthy after each")


def restarted(containers: Containers, service: str) -> float:
    containers.compose("restart", service)
    return recovered(containers)


def recovered(containers: Containers) -> float:
    """How many seconds until a new tick was stored; afterwards everything is healthy."""
    seconds = containers.streams()
    containers.healthy()
    return seconds


def test_kill_of_each_service(containers: Containers) -> None:
    """The engine starts it again."""
    seconds = [killed(containers, service) for service in LASTING]
    report("`kill -9` of each service", containers.account(), max(seconds), "started again, all services healthy")


def killed(containers: Containers, service: str) -> float:
    containers.kill(service)
    time.sleep(1)
    return recovered(containers)


def test_database_away(containers: Containers) -> None:
    """Ticks wait in the spool, and none is lost."""
    containers.streams()
    containers.compose("stop", "timescaledb")
    time.sleep(DATABASE_AWAY_SECONDS)
    containers.compose("start", "timescaledb")
    seconds = recovered(containers)
    report(f"database stopped for {DATABASE_AWAY_SECONDS} s", containers.account(), seconds, "spooled, stored later")


def test_down_and_up(containers: Containers) -> None:
    """Containers are made anew, data is kept."""
    containers.compose("down")
    seconds = containers.up()
    containers.healthy()
    report("`down`, then `up`", containers.account(), seconds, "all data kept")


def test_backup_and_restore(containers: Containers) -> None:
    """The restored database equals the dumped one."""
    containers.compose("stop", "worker", "watch", "web", "grafana")
    before = contents(containers)
    containers.compose("run", "--rm", "backup", "once")
    containers.compose("run", "--rm", "backup", "restore")
    assert contents(containers) == before
    containers.up()
    containers.healthy()
    ticks, candles, *_ = before
    report("backup and restore", None, None, f"{ticks:,} ticks and {candles:,} candles, all equal")


def contents(containers: Containers) -> tuple[int, ...]:
    """The number of ticks, of one-minute and daily candles, and a checksum over all of each.

    The last digits of the average price of a candle that is not stored yet depend on the order in which ticks are read.
    """
    statement = (
        "SELECT (SELECT count(*) FROM stocks_real_time), (SELECT count(*) FROM candles_1m),"
        " (SELECT count(*) FROM candles_1d), (SELECT sum(hashtext(t::text)::bigint) FROM stocks_real_time t),"
        " (SELECT sum(hashtext((to_jsonb(c) || jsonb_build_object('vwap', round(c.vwap::numeric, 6)))::text)::bigint)"
        " FROM candles_1m c)"
    )
    with connect(containers.dsn) as connection:
        (row,) = connection.execute(statement).fetchall()
    return tuple(map(int, row))


def test_candles_equal_their_ticks(containers: Containers) -> None:
    """After everything above."""
    outcome = containers.audit()
    report("audit of all candles after all of these", None, None, outcome)
    assert "0 differences" in outcome


def test_a_port_is_taken(containers: Containers) -> None:
    """The message names the port, and the other services start."""
    containers.compose("stop", "web")
    with socket.create_server(("127.0.0.1", int(containers.variables["CANDLEWORKS_WEB_PORT"]))):
        refused = containers.compose("up", "--detach", "--no-build", check=False)
        assert refused.returncode != 0
        assert containers.variables["CANDLEWORKS_WEB_PORT"] in refused.stderr
        containers.healthy("worker")
    containers.up()
    report("port taken", None, None, "`up` fails and names the port; what runs continues")


def test_a_wrong_password(containers: Containers) -> None:
    """Of the database's superuser: `databases` says so, and nothing that would need it starts."""
    right = containers.variables["POSTGRES_PASSWORD"]
    containers.variables["POSTGRES_PASSWORD"] = "wrong"
    containers.change()
    refused = containers.compose("up", "--detach", "--no-build", check=False)
    assert refused.returncode != 0
    assert 'password authentication failed for user "postgres"' in containers.logs("databases")
    containers.variables["POSTGRES_PASSWORD"] = right
    containers.change()
    containers.up()
    containers.healthy()
    outcome = "`up` fails, `logs databases` names the user; with the right one all is healthy"
    report("wrong password", containers.account(), None, outcome)


def test_no_env(containers: Containers) -> None:
    """The message says what to do."""
    refused = containers.compose("up", "--detach", "--no-build", check=False, env_file=False)
    assert refused.returncode != 0
    assert "run docker/new-env.sh" in refused.stderr
    report("no `.env`", None, None, "`up` fails: run docker/new-env.sh")


def test_a_key_that_the_vendor_rejects(containers: Containers) -> None:
    """The feed ends with a sentence, and everything else stays healthy."""
    vendor = [
        "sh",
        "-c",
        "unset TWELVEDATA_API_KEY; exec candleworks simulate --host 0.0.0.0 --refuse-key rejected-key",
    ]
    address = {
        "CANDLEWORKS_FEED_URL": "ws://simulator:8765/v1/quotes/price",
        "CANDLEWORKS_REST_URL": "http://simulator:8765",
    }
    containers.variables["TWELVEDATA_API_KEY"] = "rejected-key"
    containers.change(simulator={"command": vendor}, worker={"environment": address})
    containers.compose("up", "--detach", "--no-build")
    deadline = time.monotonic() + 120
    while "rejected the API key" not in (log := containers.logs("worker")):
        assert time.monotonic() < deadline, log[-2000:]
        time.sleep(1)
    assert "rejected-key" not in log
    containers.healthy()
    containers.variables["TWELVEDATA_API_KEY"] = ""
    containers.change()
    containers.up()
    report("key that the vendor rejects", None, None, "the feed's run fails and says so; all services healthy")


@pytest.mark.skipif(not OLD_IMAGE, reason="CONTAINERS_OLD_IMAGE names no image")
def test_a_new_image_over_an_old_volume(tmp_path: Path) -> None:
    """`migrate` runs first, and nothing is lost."""
    for containers in running(tmp_path, image=str(OLD_IMAGE), project="candleworks-old", feed={}):
        containers.up()
        with connect(containers.dsn) as connection:
            before = connection.execute("SELECT count(*) FROM candleworks_migrations").fetchone()
        containers.image = "candleworks:local"
        containers.change()
        seconds = containers.up()
        containers.healthy()
        with connect(containers.dsn) as connection:
            after = connection.execute("SELECT count(*) FROM candleworks_migrations").fetchone()
        assert before
        assert after
        assert before < after
        outcome = f"{after[0] - before[0]} migrations applied, all services healthy"
        report("new image over an old volume", containers.account(), seconds, outcome)


@pytest.mark.skipif(not SMALL_VOLUME, reason="CONTAINERS_SMALL_VOLUME names no directory")
def test_a_full_volume(tmp_path: Path) -> None:
    """Ticks wait in the spool until there is room again."""
    small = Path(str(SMALL_VOLUME))
    for containers in running(tmp_path, project="candleworks-full"):
        bound = {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": str(small)}}
        small.chmod(0o777)
        containers.change(volumes={"database": bound})
        containers.up()
        filler = small / "filler"
        with filler.open("wb") as file:
            while True:
                try:
                    file.write(bytes(1 << 20))
                    file.flush()
                except OSError:
                    break
        time.sleep(60)
        assert shutil.disk_usage(small).free < 1 << 20
        filler.unlink()
        seconds = recovered(containers)
        report("database's volume full for 60 s", containers.account(), seconds, "spooled, stored later")
