"""Checks of ticks, candles and the platform, run by Great Expectations inside the database."""

from candleworks.quality.report import Report
from candleworks.quality.run import run_checks

__all__ = ["Report", "run_checks"]
