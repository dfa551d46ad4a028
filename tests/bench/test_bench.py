"""The benchmarks run, and judge what they measure the right way round."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.panels import CHOSEN
from bench.report import Measurement
from bench.tick_file import write_identified_file, write_tick_file
from candleworks import clock
from tests.grafana.expansion import queries, variable_queries

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)


def test_a_run_prints_a_table_and_writes_it_as_json(tmp_path: Path) -> None:
    """Both outputs hold the same measurements."""
    run = _bench("import", "memory", "--rows", "5000", "--rounds", "1", "--json", str(tmp_path / "run.json"))
    assert run.returncode == 0, run.stderr
    measurements = json.loads((tmp_path / "run.json").read_text())["measurements"]
    assert [measurement["budget"] for measurement in measurements] == [0.8, None, 1.3]
    assert all(measurement["value"] > 0 and measurement["name"] in run.stdout for measurement in measurements)


def test_an_import_again_is_measured_against_the_first(tmp_path: Path) -> None:
    """Each engine has a line, whose rows were all stored before."""
    run = _bench("again", "--rows", "5000", "--rounds", "1", "--json", str(tmp_path / "run.json"))
    assert run.returncode == 0, run.stderr
    measurements = json.loads((tmp_path / "run.json").read_text())["measurements"]
    assert {measurement["budget"] for measurement in measurements} == {0.5}
    assert all(measurement["name"].endswith(": import again") for measurement in measurements)


def test_an_unknown_measurement_is_refused() -> None:
    """The names that exist are listed."""
    run = _bench("lattency")
    assert run.returncode == 2
    assert "lattency is none of live, import, again, memory, latency" in run.stderr


def test_every_query_of_the_dashboards_can_be_measured() -> None:
    """A value is chosen for each variable."""
    for query in (*variable_queries(clock.now(), CHOSEN), *queries(clock.now(), CHOSEN)):
        assert "${" not in query.expanded(), query.where


@pytest.mark.parametrize(
    ("value", "unit", "budget", "met"),
    [
        (8.0, "x", 8.0, True),
        (7.9, "x", 8.0, False),
        (51.0, "ms", 50.0, False),
        (50.0, "ms", 50.0, True),
        (1, "x", None, None),
    ],
)
def test_a_budget_is_a_floor_for_ratios_and_a_ceiling_for_times(
    value: float, unit: str, budget: float | None, met: bool | None
) -> None:
    """What informs only is neither met nor missed."""
    assert Measurement("name", "ours", "theirs", value, unit, budget).met is met


def test_the_peer_of_the_import_gets_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    """Only the microseconds that make each time unique are added."""
    write_tick_file(tmp_path / "ticks.csv", 20_000)
    write_identified_file(tmp_path / "identified.csv", 20_000)
    ticks = (tmp_path / "ticks.csv").read_text().splitlines()
    identified = (tmp_path / "identified.csv").read_text().splitlines()
    assert len({line.rsplit(",", 2)[0] for line in identified}) == 20_001
    assert [line[:19] + line[line.index("+") :] for line in identified[1:]] == ticks[1:] != identified[1:]
