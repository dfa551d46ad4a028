"""`candleworks doctor`: what it finds, in what words, and with which exit status."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from candleworks import clock
from candleworks.alerts.watchdog import Watchdog
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, describe
from candleworks.database.engine import Engine, engine_of
from candleworks.doctor.database_state import read_database
from candleworks.doctor.diagnosis import CHECKS, diagnose
from candleworks.doctor.findings import DoctorLevel, Patient
from candleworks.doctor.machine import filesystem
from candleworks.model.alerts import CheckResult
from candleworks.settings import load_settings
from candleworks.storage.quality import save_results
from candleworks.storage.tick_retention import drop_ticks
from tests.cli.conftest import Invoke
from tests.conftest import timescaledb_build

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
on_timescaledb = pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
CONFIGURATION = """
feeds: [{name: stocks, symbols: [AAPL]}]
alerts: {page_url: "https://candles.example.org"}
storage: {retention_days: {stocks_real_time: 365, quotes: 365}}
rest: {credits_per_minute: 55}
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory on a disk: the tests' own may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture
def build() -> Path:
    """The TimescaleDB build to test with, looked up before `invoke` takes the variable away."""
    return timescaledb_build()


@pytest.fixture
def owner(connection: Connection, dsn: str) -> Iterator[str]:
    """The connection string of a role that is no superuser, and may read."""
    name = f"owner_{connection.info.dbname}"
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    connection.execute(sql.SQL("GRANT pg_read_all_data, pg_monitor TO {}").format(sql.Identifier(name)))
    yield make_conninfo(dsn, user=name)
    connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def production(owner: str, connection: Connection, dsn: str, directory: Path) -> dict[str, str]:
    """The environment of a platform that is ready, and runs."""
    (directory / "candleworks.yaml").write_text(CONFIGURATION)
    environment = {
        "CANDLEWORKS_DSN": owner,
        "CANDLEWORKS_HOME": str(directory / "home"),
        "CANDLEWORKS_CONFIG": str(directory / "candleworks.yaml"),
        "CANDLEWORKS_ALERT_URLS": "json://127.0.0.1:9/",
        "TWELVEDATA_API_KEY": "key",
        "PREFECT_SERVER_API_AUTH_STRING": "me:secret",
    }
    connection.execute(
        "INSERT INTO feed_symbols (feed, symbol, status, since) VALUES ('stocks', 'AAPL', 'streaming', now())"
    )
    stream(connection)
    save_results(connection, [result("passed")], {})
    Watchdog(load_settings(environment | {"CANDLEWORKS_DSN": dsn}), dsn).run_once()
    return environment


def stream(connection: Connection) -> None:
    """Report as a feed does that is running."""
    connection.execute(
        "INSERT INTO ingest_stats (feed, at, ticks, batches, spool_depth, reconnects, duplicates, rejected, candles)"
        " VALUES ('stocks', now(), 1, 1, 0, 0, 0, 0, 0)"
    )


def result(status: Any) -> CheckResult:
    return CheckResult("freshness", "AAPL", "warning", status, "312 s", "120 s", clock.now(), suite="ticks")


def findings(environment: dict[str, str], level: DoctorLevel | None = None) -> dict[str, list[tuple[str, str]]]:
    """What is not well, by the name of the check: text and fix."""
    found = diagnose(load_settings(environment), environment).found
    chosen = {
        check: [(each.text, each.fix) for each in each_found if each.level is level]
        if level
        else [(each.text, each.fix) for each in each_found if each.level is not DoctorLevel.OK]
        for check, each_found in found.items()
    }
    return {check: each for check, each in chosen.items() if each}


def test_a_platform_in_production_is_well(production: dict[str, str], invoke: Invoke, engine: Engine) -> None:
    """One line besides the surroundings; the lack of TimescaleDB is worth a note."""
    ended = invoke("doctor", **production)
    assert (ended.status, ended.errors) == (0, "")
    if engine is Engine.TIMESCALE:
        assert ended.output.endswith(f"\n\n{len(CHECKS)} checks: {len(CHECKS)} ok\n")
    else:
        assert [*findings(production)] == ["timescaledb"]
        assert ended.output.endswith(f"{len(CHECKS)} checks: 1 note, {len(CHECKS) - 1} ok\n")
    assert "secret" not in ended.output


ONE_FAULT: dict[str, tuple[dict[str, str], str]] = {
    "variables": ({"CANDLEWORKS_ALERT_URL": "json://x"}, "The environment variable CANDLEWORKS_ALERT_URL is not read."),
    "feed-source": ({"TWELVEDATA_API_KEY": ""}, "The feed is simulated: its prices are made up."),
}


@on_one_engine
@pytest.mark.parametrize("check", ONE_FAULT)
def test_a_setting_that_is_missing_is_found(production: dict[str, str], check: str) -> None:
    """That one and no other, each with a fix."""
    changed, sentence = ONE_FAULT[check]
    found = findings(production | changed)
    assert set(found) == {check, "timescaledb"}
    [(text, fix)] = found[check]
    assert text.startswith(sentence)
    assert fix.endswith(".")


@on_one_engine
def test_prefect_on_another_machine_needs_a_password(production: dict[str, str]) -> None:
    """There a warning: others reach it."""
    remote = production | {"PREFECT_SERVER_API_AUTH_STRING": "", "PREFECT_API_URL": "http://prefect.example.org/api"}
    [(text, _)] = findings(remote, DoctorLevel.WARNING)["prefect"]
    assert text.startswith("Prefect's server on prefect.example.org is used without a password: ")


FILE_FAULTS: list[tuple[str, str, str, str]] = [
    ("retention", "365, quotes: 365", "365", "Ticks are kept for ever (quotes): the database grows."),
    ("page-url", 'alerts: {page_url: "https://candles.example.org"}', "", "alerts.page_url is not set: notifications"),
    ("credits", "rest: {credits_per_minute: 55}", "", "API credits are limited to 8 a minute and 800 a day, as in the"),
    ("disabled-checks", "rest:", "quality: {disabled: [company]}\nrest:", "These checks do not run: company."),
    ("spool", "rest:", "ingest: {max_spool_bytes: 99000000000000}\nrest:", "The spool may grow to 99.0 TB, and its"),
    ("disk", "rest:", "quality: {system: {min_free_disk_mb: 1000000000}}\nrest:", "The disk of /var/tmp/"),
    ("feeds", "name: stocks", "name: others", "The feed others has never run."),
]


@on_one_engine
@pytest.mark.parametrize(("check", "line", "other", "sentence"), FILE_FAULTS)
def test_a_key_that_is_not_right_is_found(
    production: dict[str, str], check: str, line: str, other: str, sentence: str
) -> None:
    """That one and no other."""
    Path(production["CANDLEWORKS_CONFIG"]).write_text(CONFIGURATION.replace(line, other))
    found = findings(production)
    assert set(found) == {check, "timescaledb"}
    assert found[check][0][0].startswith(sentence)


@on_one_engine
def test_an_invalid_configuration_is_broken(production: dict[str, str], invoke: Invoke) -> None:
    """With the sentence that other commands print, and status 1."""
    Path(production["CANDLEWORKS_CONFIG"]).write_text("feedz: 1")
    ended = invoke("doctor", **production)
    assert ended.status == 1
    assert "unknown key feedz, expected one of alerts, calendars" in " ".join(ended.output.split())
    assert ended.output.endswith("\n1 check: 1 broken\n")


@on_one_engine
def test_a_superuser_and_settings_that_lose_data_are_found(
    production: dict[str, str], dsn: str, connection: Connection
) -> None:
    """As the session sees them."""
    role = sql.Identifier(connection.info.user)
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET synchronous_commit = off").format(role, name))
    found = findings(production | {"CANDLEWORKS_DSN": dsn})
    assert set(found) == {"role", "durability", "timescaledb"}
    assert found["role"][0][0] == "candleworks connects as postgres, a superuser."
    assert found["durability"][0][0].startswith("The server runs with synchronous_commit = off: a crash loses")


FACTS: list[tuple[str, dict[str, object], DoctorLevel, str]] = [
    ("durability", {"fsync": "off"}, DoctorLevel.BROKEN, "The server runs with fsync = off: a crash of its machine"),
    ("durability", {"full_page_writes": "off"}, DoctorLevel.BROKEN, "The server runs with full_page_writes = off"),
    ("encoding", {"encoding": "LATIN1"}, DoctorLevel.BROKEN, "The encoding of the database is LATIN1, and UTF8"),
    ("encoding", {"collation_changed": True}, DoctorLevel.WARNING, "The operating system sorts text in another way"),
    ("connections", {"connections": 20}, DoctorLevel.WARNING, "The server allows 20 connections, and candleworks may"),
    ("connections", {"connections_used": 90}, DoctorLevel.WARNING, "90 of the server's 97 connections are in use."),
    (
        "timescaledb",
        {"timescaledb_version": "2.28.0", "timescaledb_available": "2.29.1"},
        DoctorLevel.NOTE,
        "TimescaleDB 2.29.1 is installed, and the database uses 2.28.0.",
    ),
]


@on_one_engine
@pytest.mark.parametrize(("check", "facts", "level", "sentence"), FACTS)
def test_a_server_that_is_not_right_is_found(
    production: dict[str, str], check: str, facts: dict[str, Any], level: DoctorLevel, sentence: str
) -> None:
    """The facts of this server, but for one that cannot be changed while others use it."""
    settings = load_settings(production)
    state, _ = read_database(settings)
    assert state is not None
    patient = Patient(settings, production, replace(state, facts=replace(state.facts, **facts)))
    [found] = [each for each in CHECKS if each.name == check]
    first = found.findings(patient)[0]
    assert first.level is level
    assert first.text.startswith(sentence)
    assert first.fix


@on_one_engine
@pytest.mark.parametrize(("skew", "words"), [(3.25, "3.2 s ahead of"), (-90, "90.0 s behind")])
def test_clocks_that_differ_are_found(production: dict[str, str], skew: float, words: str) -> None:
    """From a second on; that of the same machine does not differ."""
    settings = load_settings(production)
    state, _ = read_database(settings)
    assert state is not None
    assert abs(state.skew_seconds) < 0.5
    [check] = [each for each in CHECKS if each.name == "clock"]
    [found] = check.findings(Patient(settings, production, replace(state, skew_seconds=skew)))
    assert found.text.startswith(f"The database's clock is {words} this machine's")


@on_timescaledb
def test_policies_of_others_are_found(production: dict[str, str], connection: Connection) -> None:
    """On ticks and on candles, with the command that deletes each; those on other tables are nobody's business."""
    connection.execute("SELECT add_retention_policy('stocks_real_time', interval '30 days')")
    connection.execute("SELECT add_retention_policy('candles_1m', interval '90 days')")
    connection.execute("CREATE TABLE other (time timestamptz NOT NULL)")
    connection.execute("SELECT create_hypertable('other', 'time'), add_retention_policy('other', interval '1 day')")
    found = findings(production)
    assert set(found) == {"jobs"}
    texts = [text for text, _ in found["jobs"]]
    assert len(texts) == 2
    assert "runs policy_retention on stocks_real_time, besides `candleworks maintain`" in texts[0]
    assert "on candles_1m," in texts[1]
    for _, fix in found["jobs"]:
        connection.execute(fix.removeprefix("Run ").partition(",")[0].encode())
    assert findings(production) == {}


def test_ticks_that_others_dropped_are_found(production: dict[str, str], connection: Connection) -> None:
    """From when to when; what `candleworks maintain` dropped is not reported."""
    for day in ("2026-02-02", "2026-03-02"):
        connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [day, day])
        connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'A', 1)", [day])
    refresh(connection)
    drop_ticks(connection, "stocks_real_time", datetime(2026, 2, 20, tzinfo=UTC))
    refresh(connection)
    assert "dropped-ticks" not in findings(production)
    if engine_of(connection) is Engine.TIMESCALE:
        connection.execute("SELECT drop_chunks('stocks_real_time', older_than => timestamptz '2026-03-10')")
    else:
        connection.execute("DROP TABLE candleworks.stocks_real_time_20260302")
    refresh(connection)
    [(text, fix)] = findings(production)["dropped-ticks"]
    assert text == (
        "1 part of stocks_real_time from 2026-03-02 to 2026-03-02 was not dropped by `candleworks maintain`: the"
        " candles stay as they are."
    )
    assert fix.startswith("Set storage.retention_days instead.")


OPERATION: list[tuple[str, str, DoctorLevel, str]] = [
    (
        "INSERT INTO feed_gaps (feed, started_at, reason) VALUES ('stocks', now(), 'x')",
        "gaps",
        DoctorLevel.WARNING,
        "The feed stocks has 1 open gap: ticks are missing until it streams again.",
    ),
    (
        "INSERT INTO feed_gaps (feed, started_at, ended_at, reason) VALUES ('stocks', now(), now() + '1 ms', 'x')",
        "gaps",
        DoctorLevel.NOTE,
        "The feed stocks has 1 unfilled gap.",
    ),
    (
        "UPDATE ingest_stats SET at = at - interval '10 min'",
        "feeds",
        DoctorLevel.WARNING,
        "The feed stocks is not running: its last sign of life is 60",
    ),
    ("DELETE FROM quality_results", "checks", DoctorLevel.NOTE, "No check has run yet."),
    (
        "UPDATE candleworks.alert_deliverers SET runs_until = now() - interval '1 min'",
        "delivery",
        DoctorLevel.WARNING,
        "Nothing delivers notifications.",
    ),
]


@on_one_engine
@pytest.mark.parametrize(("statement", "check", "level", "sentence"), OPERATION)
def test_what_does_not_run_is_found(
    production: dict[str, str], connection: Connection, statement: str, check: str, level: DoctorLevel, sentence: str
) -> None:
    """That one and no other, with the command that corrects it."""
    connection.execute(statement.encode())
    found = findings(production)
    assert set(found) == {check, "timescaledb"}
    [(text, fix)] = findings(production, level)[check]
    assert text.startswith(sentence)
    assert "`candleworks " in fix


@on_one_engine
def test_a_check_that_failed_is_found(production: dict[str, str], connection: Connection) -> None:
    """With what it observed, and where it is explained."""
    save_results(connection, [result("failed")], {})
    [(text, fix)] = findings(production)["checks"]
    assert text == "The check freshness of AAPL has failed: 312 s."
    assert fix == "Look at https://candles.example.org/quality/freshness, which says what to do."


@on_one_engine
def test_nobody_to_notify_is_found(production: dict[str, str], connection: Connection) -> None:
    """Where neither this process nor another one has an address."""
    connection.execute("DELETE FROM candleworks.alert_deliverers")
    found = findings(production | {"CANDLEWORKS_ALERT_URLS": ""})
    assert found["recipients"] == [
        ("Nobody is notified: alerts go to the log.", "Set CANDLEWORKS_ALERT_URLS, then run `candleworks alerts test`.")
    ]


@on_one_engine
def test_secrets_that_others_can_read_are_found(production: dict[str, str]) -> None:
    """And a home that they can write to."""
    home = Path(production["CANDLEWORKS_HOME"])
    password = home / "grafana" / "admin-password"
    password.parent.mkdir(parents=True)
    password.write_text("s3cret")
    password.chmod(0o644)
    home.chmod(0o777)
    assert [fix for _, fix in findings(production)["permissions"]] == [
        f"Run chmod 600 {password}",
        f"Run chmod o-w {home}",
    ]
    password.chmod(0o600)
    home.chmod(0o755)
    assert set(findings(production)) == {"timescaledb"}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user cannot write to; root needs a file system that says so."""
    place = tmp_path / "read-only"
    place.mkdir(mode=0o555)
    if os.geteuid() != 0:
        yield place
        return
    if subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], capture_output=True, check=False
    ).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["/bin/umount", place], check=True)


def test_a_home_that_cannot_be_written_is_broken(read_only: Path, invoke: Invoke) -> None:
    """Every other command would fail."""
    ended = invoke("doctor", CANDLEWORKS_HOME=read_only / "home", COLUMNS=400)
    assert ended.status == 1
    sentence = f"{read_only} cannot be written to: nothing can be started with the home {read_only}/home."
    assert sentence in ended.output


@on_one_engine
def test_a_spool_in_memory_is_found(production: dict[str, str], tmp_path: Path) -> None:
    """It does not survive a restart."""
    if filesystem(tmp_path) != "tmpfs":
        pytest.skip("the tests' directory is on a disk: unset TMPDIR")
    found = findings(production | {"CANDLEWORKS_HOME": str(tmp_path)}, DoctorLevel.WARNING)
    assert f"The spool in {tmp_path}/spool is on tmpfs, which does not survive a restart" in found["spool"][0][0]


@on_one_engine
@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM candleworks_migrations WHERE name = 'common/0026_dashboards_operations'", "is out of date"),
        ("INSERT INTO candleworks_migrations (name, sha256) VALUES ('common/9999_future', 'x')", "by a newer version"),
        ("DROP TABLE candleworks_migrations", "has no candleworks schema: run `candleworks migrate`."),
    ],
)
def test_a_schema_of_another_version_is_broken(
    production: dict[str, str], connection: Connection, invoke: Invoke, statement: str, sentence: str
) -> None:
    """Status 1; checks that need it are skipped, those of the server are not."""
    connection.execute(statement.encode())
    ended = invoke("doctor", "--json", **production)
    assert ended.status == 1
    found = json.loads(ended.output)
    levels = {each["check"]: each["level"] for each in found["checks"]}
    assert [check for check, level in levels.items() if level == "broken"] == ["schema"]
    skipped = ["jobs", "dropped-ticks", "delivery", "feeds", "gaps", "checks"]
    assert [check for check, level in levels.items() if level == "skipped"] == skipped
    assert levels["durability"] == "ok"
    assert sentence in next(each["finding"] for each in found["checks"] if each["check"] == "schema")


def test_a_database_that_cannot_be_reached_is_broken(invoke: Invoke) -> None:
    """What this machine and the settings show is shown all the same, on standard output."""
    ended = invoke("doctor", "--json", CANDLEWORKS_DSN="postgresql://me:s3cret@127.0.0.1:1/market")
    found = json.loads(ended.output)
    assert (ended.status, ended.errors) == (1, "")
    assert found["counts"]["broken"] == 1
    assert found["checks"][0]["finding"].startswith("The database market on 127.0.0.1:1 cannot be reached (")
    assert {each["check"]: each["level"] for each in found["checks"]}["feed-source"] == "note"
    assert "s3cret" not in ended.output


def test_a_database_that_is_silent_is_broken(invoke: Invoke) -> None:
    """It accepts connections and says nothing: after the ten seconds of a connection attempt."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ended = invoke("doctor", CANDLEWORKS_DSN=f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/market")
    assert ended.status == 1
    assert "cannot be reached (connection timeout expired)" in " ".join(ended.output.split())


def test_a_fresh_home_is_a_note(invoke: Invoke, tmp_path: Path) -> None:
    """Status 0: nothing is broken, and nothing is created."""
    ended = invoke("doctor", COLUMNS=400)
    assert (ended.status, ended.errors) == (0, "")
    assert f"There is no database in {tmp_path / 'home'} yet." in " ".join(ended.output.split())
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_a_build_that_the_server_cannot_read_is_broken(build: Path, invoke: Invoke, tmp_path: Path) -> None:
    """One sentence with what to do."""
    closed = tmp_path / "root"
    shutil.copytree(build, closed / "timescaledb")
    closed.chmod(0o700)
    assert invoke("migrate").status == 0
    ended = invoke("doctor", CANDLEWORKS_TIMESCALEDB=closed / "timescaledb", COLUMNS=400)
    assert ended.status == 1
    words = " ".join(ended.output.split())
    assert "the user pgserver, who runs the embedded PostgreSQL, cannot read" in words
    assert f"or run chmod o+x {closed}" in words


@on_one_engine
@pytest.mark.parametrize("width", [80, 200])
def test_it_fits_the_terminal(invoke: Invoke, dsn: str, width: int) -> None:
    """Nothing is cut off: every finding is there in full."""
    ended = invoke("doctor", "--all", CANDLEWORKS_DSN=dsn, COLUMNS=width)
    lines = [line.rstrip() for line in ended.output.splitlines()]
    assert max(map(len, lines)) <= width
    words = "".join("".join(lines).split())  # a long path is continued in the next line
    for text in (
        "Set storage.retention_days in candleworks.yaml, or watch the disk; candles are always kept.",
        f"{describe(dsn)} (from CANDLEWORKS_DSN), PostgreSQL 18",
    ):
        assert text.replace(" ", "") in words


def test_every_check_has_a_name_and_a_sentence() -> None:
    """And is listed on the page about production, in this order."""
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    page = (Path(__file__).parents[2] / "docs/how-to/production.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [(row[0].strip("| `"), row[1]) for row in rows] == [(check.name, check.requires) for check in CHECKS]
