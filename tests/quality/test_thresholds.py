"""Thresholds for all, for a class, for a symbol: the narrowest counts."""

from pathlib import Path

import pytest

from candleworks.errors import ConfigurationError
from candleworks.quality.limits import class_of, limits
from candleworks.settings import Settings, load_settings


def read(directory: Path, yaml: str) -> Settings:
    file = directory / "c.yaml"
    file.write_text(f"quality: {yaml}")
    return load_settings({"CANDLEWORKS_CONFIG": str(file)})


def test_the_narrowest_threshold_counts(tmp_path: Path) -> None:
    """What an exception does not name is inherited, also when it names the default."""
    settings = read(
        tmp_path,
        "{ticks: {jump_percent: 10, max_spread_percent: 2, classes: {crypto: {jump_percent: 30}},"
        " symbols: {BTC/USD: {max_spread_percent: 3}, ETH/USD: {jump_percent: 20.0}}}}",
    )
    found = {row["symbol"]: row for row in limits(["AAPL", "BTC/USD", "ETH/USD"], settings)}
    assert [found[symbol]["jump_percent"] for symbol in ("AAPL", "BTC/USD", "ETH/USD")] == [10, 30, 20]
    assert [found[symbol]["max_spread_percent"] for symbol in ("AAPL", "BTC/USD", "ETH/USD")] == [2, 3, 2]
    assert {row["min_rate_percent"] for row in found.values()} == {10}


def test_the_limits_of_silence_are_those_of_the_feed(tmp_path: Path) -> None:
    """A gap is recorded after the limit of a symbol; its check fails after twice as long."""
    file = tmp_path / "c.yaml"
    file.write_text("silence: {around_the_clock_seconds: 30, symbols: {MSFT: 700}}")
    settings = load_settings({"CANDLEWORKS_CONFIG": str(file)})
    found = {row["symbol"]: row["max_silence_seconds"] for row in limits(["AAPL", "MSFT", "BTC/USD"], settings)}
    assert found == {"AAPL": 1_200, "MSFT": 1_400, "BTC/USD": 60}


@pytest.mark.parametrize(
    ("symbol", "kind"), [("AAPL", "stock"), ("RY:TSX", "stock"), ("BTC/USD", "crypto"), ("EUR/USD", "forex")]
)
def test_the_class_follows_the_calendar(symbol: str, kind: str) -> None:
    """Who trades around the clock is crypto, who follows the hours of currencies forex."""
    assert class_of(symbol, load_settings({})) == kind


def test_a_calendar_of_ones_own_changes_the_class(tmp_path: Path) -> None:
    """A stock that trades around the clock is judged like what does."""
    file = tmp_path / "c.yaml"
    file.write_text("calendars: {symbols: {TOKEN: 24/7}}")
    assert class_of("TOKEN", load_settings({"CANDLEWORKS_CONFIG": str(file)})) == "crypto"


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        (
            "{ticks: {symbols: {AAPL: {jump_percent: -1}}}}",
            "quality.ticks.symbols.AAPL.jump_percent is -1, expected a number greater than 0 and at most 10,000.",
        ),
        (
            "{candles: {classes: {crypto: {max_empty: 3}}}}",
            (
                "unknown key quality.candles.classes.crypto.max_empty,"
                " expected one of bar_tolerance_percent, max_empty_minutes."
            ),
        ),
        (
            "{ticks: {classes: {bond: {jump_percent: 1}}}}",
            "invalid key 'bond' in quality.ticks.classes, expected 'stock', 'crypto' or 'forex'.",
        ),
        (
            "{system: {max_lag_ms: 0}}",
            "quality.system.max_lag_ms is 0, expected a whole number from 1 to 86,400,000.",
        ),
    ],
)
def test_a_wrong_threshold_is_refused_by_its_path(tmp_path: Path, yaml: str, sentence: str) -> None:
    """The message names the key, the value and what is allowed, also within an exception."""
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, yaml)
    assert str(refused.value).endswith(f"c.yaml: {sentence}")
