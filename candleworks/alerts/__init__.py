"""Trouble that checks find, until somebody has heard of it and it has ended."""

from candleworks.alerts.book import Changed, update
from candleworks.alerts.delivery import Delivered, deliver
from candleworks.model.alerts import Alert, Result, Severity

__all__ = ["Alert", "Changed", "Delivered", "Result", "Severity", "deliver", "update"]
