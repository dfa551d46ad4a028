"""`candleworks backfill`: what it shows, and its exit status."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candleworks.database.engine import Engine
from tests.cli.conftest import Invoke
from tests.gapfill.filling import vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_history_is_loaded_and_reported(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """First what it would cost, then what became of it; status 1 as long as something could not be fetched."""
    feed = {"name": "crypto", "symbols": ["BTC/USD", "ETH/USD"], "backfill_days": 1}
    config = tmp_path / "candleworks.yaml"
    config.write_text(json.dumps({"feeds": [feed]}))
    with vendor() as simulated:
        variables = {
            "CANDLEWORKS_DSN": dsn,
            "CANDLEWORKS_REST_URL": simulated.running.rest_url,
            "CANDLEWORKS_CONFIG": config,
        }
        planned = invoke("backfill", "--dry-run", **variables)
        simulated.running.fail_bars(403, "ETH/USD is not in your plan", symbol="ETH/USD")
        failed = invoke("backfill", **variables)
        shown = invoke("status", **variables)
        for_programs = invoke("status", "--json", **variables)
        again = invoke("backfill", **variables)
        loaded = invoke("backfill", "ETH/USD", "--days", "2", **variables)
        plan = invoke("backfill", "ETH/USD", "--days", "2", "--years", "1", "--dry-run", **variables)
        date = datetime.now(UTC) - 100 * timedelta(days=1)
        bar = f'{{"datetime": "{date:%Y-%m-%d}", "open": "2", "high": "3", "low": "1", "close": "2"}}'
        simulated.running.fail_bars(200, f'{{"values": [{bar}]}}', symbol="ETH/USD")
        days = invoke("backfill", "ETH/USD", "--years", "1", **variables)
    assert (planned.status, planned.errors) == (0, "")
    assert planned.output.endswith("2 symbols to load for at most 2 API credits\n")
    assert (failed.status, failed.errors) == (1, "")
    assert "0 % loaded: BTC/USD before " in failed.output
    assert "not in your plan" in re.sub(r"[│\s]+", " ", failed.output)
    summary = r"1 waiting, 1 refused; [\d,]+ bars stored, 2 companies named, 4 API credits used\n$"
    assert re.search(summary, failed.output)
    assert re.search(r"^backfill +1 waiting, 1 refused *$", shown.output, re.MULTILINE)
    assert [each["outcome"] for each in json.loads(for_programs.output)["backfills"]] == ["waiting", "refused"]
    assert (again.status, again.errors) == (0, "")
    assert again.output == "nothing to load; 0 bars stored, 0 companies named, 0 API credits used\n"
    assert (loaded.status, "1 waiting; " in loaded.output) == (0, True)
    assert (plan.status, "daily bars" in plan.output) == (0, True)
    assert plan.output.endswith("1 symbol to load for at most 1 API credit\n")
    assert (days.status, days.errors) == (0, "")
    assert "daily bars of ETH/USD before " in days.output
    assert "1 waiting; 0 bars and 1 daily bar stored, " in days.output


def test_the_vendor_wants_a_key(invoke: Invoke, dsn: str) -> None:
    """Without one nothing is requested; status 2 and one line."""
    ended = invoke("backfill", "AAPL", CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith("https://api.twelvedata.com requires a key: set TWELVEDATA_API_KEY")
    assert ended.errors.count("\n") == 1
