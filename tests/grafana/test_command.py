"""`candleworks grafana`: an installed Grafana is started with our database and our dashboards.

There is no Grafana in the tests: a program of that name tells what it was given.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.errors import ConfigurationError
from candleworks.runtime.grafana import find_grafana
from candleworks.settings import load_settings
from tests.grafana.expansion import GRAFANA

TELLING = """#!{python}
import json, os, sys, time
with open({told!r} + ".new", "w") as out:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid()}}, out)
os.rename({told!r} + ".new", {told!r})
time.sleep(300)
"""
SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An unpacked Grafana."""
    (tmp_path / "grafana" / "bin").mkdir(parents=True)
    (tmp_path / "grafana" / "conf").mkdir()
    (tmp_path / "grafana" / "conf" / "defaults.ini").touch()
    (tmp_path / "grafana" / "data" / "plugins-bundled").mkdir(parents=True)
    binary = tmp_path / "grafana" / "bin" / "grafana"
    binary.write_text(TELLING.format(python=sys.executable, told=str(tmp_path / "told.json")))
    binary.chmod(0o755)
    return tmp_path / "grafana"


@pytest.fixture
def running(dsn: str, home: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ, "CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home"),
        "CANDLEWORKS_GRAFANA_HOME": str(home), "CANDLEWORKS_GRAFANA_PORT": "3456", "CANDLEWORKS_WEB_PORT": "3457",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "candleworks", "grafana"], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def told(directory: Path, starting: subprocess.Popen[str]) -> dict[str, Any]:
    """What the program was given, as soon as it runs; `starting` is the process that starts it."""
    file = directory / "told.json"
    deadline = time.monotonic() + SECONDS
    while not file.exists():
        assert starting.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_grafana_is_told_everything_and_stopped_with_us(
    running: subprocess.Popen[str], dsn: str, home: Path, tmp_path: Path
) -> None:
    """Database, dashboards, loopback and a password of its own; nothing stays behind, and everybody may look.

    Its dashboards know the chart page's address.
    """
    seen = told(tmp_path, running)
    assert seen["arguments"] == ["server", "--homepath", str(home)]
    given = seen["environment"]
    socket = dict(part.split("=", 1) for part in dsn.split())["host"]
    assert given["CANDLEWORKS_GRAFANA_DATABASE_HOST"] == socket
    assert given["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert given["GF_SERVER_HTTP_PORT"] == "3456"
    assert given["GF_PATHS_PROVISIONING"] == str(GRAFANA / "provisioning")
    assert given["GF_PATHS_BUNDLED_PLUGINS"] == str(home / "data" / "plugins-bundled")
    assert given["GF_USERS_HOME_PAGE"] == "/d/candleworks-market"
    assert given["GF_SERVER_ROOT_URL"] == "http://127.0.0.1:3456/"
    assert given["CANDLEWORKS_GRAFANA_ALERTS_PAUSED"] == "true"
    kept = tmp_path / "home" / "grafana" / "admin-password"
    assert given["GF_SECURITY_ADMIN_PASSWORD"] == kept.read_text().strip()
    assert len(given["GF_SECURITY_ADMIN_PASSWORD"]) > 20
    assert kept.stat().st_mode & 0o077 == 0
    with connect(dsn) as connection:
        assert connection.execute("SELECT dashboards.page_url()").fetchall() == [("http://127.0.0.1:3457",)]
    running.send_signal(signal.SIGHUP)  # its terminal was closed
    output, _ = running.communicate(timeout=SECONDS)
    assert output.splitlines() == ["Grafana http://127.0.0.1:3456/"]
    with pytest.raises(ProcessLookupError):
        os.kill(seen["pid"], 0)


def test_every_variable_of_the_provisioning_is_given() -> None:
    """What stands in the files with a $ is set by the command, too."""
    source = (GRAFANA.parent / "candleworks/runtime/grafana.py").read_text()
    text = "".join(path.read_text() for path in (GRAFANA / "provisioning").rglob("*.yaml"))
    names = set(re.findall(r"\$([A-Z_]+)", text))
    assert len(names) > 5
    assert [name for name in names if f'"{name}"' not in source] == []


def test_grafana_is_found_on_the_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By either of its names, with its files beside it."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    assert find_grafana(load_settings({})) == [str(home / "bin/grafana"), "server", "--homepath", str(home)]
    (home / "bin/grafana").rename(home / "bin/grafana-server")
    assert find_grafana(load_settings({})) == [str(home / "bin/grafana-server"), "--homepath", str(home)]
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_grafana(load_settings({})) is None


def test_a_wrong_home_is_refused(tmp_path: Path) -> None:
    """Instead of another Grafana being started."""
    with pytest.raises(ConfigurationError) as refused:
        find_grafana(load_settings({"CANDLEWORKS_GRAFANA_HOME": str(tmp_path)}))
    assert str(refused.value) == (
        f"CANDLEWORKS_GRAFANA_HOME is {tmp_path}, which has no bin/grafana: set it to the directory that Grafana was"
        " unpacked into, or unset it."
    )


def test_nothing_to_start_is_said(tmp_path: Path) -> None:
    """Bad usage, in one line."""
    environment = {"PATH": "/nowhere", "CANDLEWORKS_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-m", "candleworks", "grafana"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == (
        "No Grafana was found: put grafana or grafana-server on PATH, or set CANDLEWORKS_GRAFANA_HOME to the directory"
        " that holds its bin/ and conf/.\n"
    )


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_up_shows_where_an_installed_grafana_is(dsn: str, home: Path, tmp_path: Path) -> None:
    """It runs beside everything else, and ends with it."""
    environment = {
        **os.environ, "CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home"),
        "CANDLEWORKS_GRAFANA_HOME": str(home), "CANDLEWORKS_GRAFANA_PORT": "3457",
        "CANDLEWORKS_WEB_PORT": str(free_port()),
    }  # fmt: skip
    command = [sys.executable, "-m", "candleworks", "up", "--no-prefect"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as up:
        seen = told(tmp_path, up)
        up.send_signal(signal.SIGTERM)
        output, _ = up.communicate(timeout=SECONDS)
    assert up.returncode == 0
    assert "Grafana     http://127.0.0.1:3457/" in output
    with pytest.raises(ProcessLookupError):
        os.kill(seen["pid"], 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
