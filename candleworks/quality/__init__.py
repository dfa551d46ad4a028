"""Checks of ticks, candles and the platform itself, by Great Expectations, against the database itself."""

from candleworks.quality.report import Report
from candleworks.quality.run import run_checks

__all__ = ["Report", "run_checks"]
