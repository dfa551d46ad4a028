"""The soak finds what grows in a straight line, and is not misled by what only moves."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import Measurement
from bench.slopes import slope
from bench.soak import FILES, MEMORY, POSTGRESQL, ROLES, SIZE, Kind, Series, judged

ROOT = Path(__file__).parents[2]
HOUR = [minute / 60 for minute in range(60)]


def _judged(values: list[float], kind: Kind = MEMORY) -> Measurement:
    found, _ = judged({("worker", kind): Series(HOUR, values)})
    return found


def test_a_straight_line_has_its_slope_in_spite_of_outliers() -> None:
    """A run of garbage collection, or a check beside it, moves single samples far away."""
    values = [100 + 40 * hour for hour in HOUR]
    values[10] = values[45] = 1_000
    found = slope(HOUR, values)
    assert found.low <= 40 <= found.high
    assert found.median == pytest.approx(40, abs=2)


def test_noise_has_no_slope() -> None:
    """The interval of its slope includes 0."""
    noise = random.Random(7)
    found = slope(HOUR, [100 + noise.gauss(0, 5) for _ in HOUR])
    assert found.low < 0 < found.high


def test_one_sample_has_no_slope() -> None:
    """The message says what to do."""
    with pytest.raises(ValueError, match="sample for longer"):
        slope([0.0], [1.0])


@pytest.mark.parametrize(
    ("values", "flat"),
    [
        pytest.param([93 + 40 * hour for hour in HOUR], False, id="straight line"),
        pytest.param([min(160.0, 60 + 800 * hour) for hour in HOUR], True, id="fills up and stays"),
        pytest.param([100 + 2 * hour for hour in HOUR], True, id="within its limit"),
        pytest.param([100 - 50 * hour for hour in HOUR], True, id="shrinks"),
        pytest.param([100 + (10 if minute % 5 else 0) for minute in range(60)], True, id="goes up and down"),
    ],
)
def test_what_grows_beyond_its_limit_is_missed(values: list[float], flat: bool) -> None:
    """The warm-up does not count."""
    assert _judged(values).met is flat


def test_one_line_names_all_that_is_not_flat() -> None:
    """Data accumulate by design, and are shown without being judged."""
    line = [10.0 + 60 * hour for hour in HOUR]
    samples = {
        ("worker", MEMORY): Series(HOUR, line),
        ("worker", FILES): Series(HOUR, line),
        ("stream", FILES): Series(HOUR, [10.0] * 60),
        ("database candleworks", SIZE): Series(HOUR, line),
    }
    *_, verdict = judged(samples)
    assert (verdict.ours, verdict.met) == ("worker, memory (PSS); worker, open files", False)


def test_what_did_not_last_is_left_out() -> None:
    """Neither the process of a run nor one that was replaced has a slope of its own."""
    samples = {("worker", FILES): Series(HOUR, [10.0] * 60), ("stream", FILES): Series(HOUR[:5], [10.0] * 5)}
    assert [each.name for each in judged(samples)] == ["soak: worker, open files", "soak: not flat"]


@pytest.mark.timeout(600)
def test_everything_that_up_starts_is_sampled(tmp_path: Path) -> None:
    """From a run of `up`: each of its processes, and both databases."""
    output = tmp_path / "run.json"
    command = [sys.executable, "-m", "bench", "soak", "--minutes", "0.5", "--json", str(output)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=580)
    assert run.returncode == 0, run.stderr
    names = {measurement["name"] for measurement in json.loads(output.read_text())["measurements"]}
    for process in (*ROLES.values(), POSTGRESQL):
        for kind in ("memory (PSS)", "open files", "threads", "connections"):
            assert f"soak: {process}, {kind}" in names
    assert {"soak: database candleworks, size", "soak: database candleworks_prefect, size"} <= names
    assert "soak: not flat" in run.stdout
