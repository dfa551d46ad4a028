"""Trouble that checks find, until somebody has heard of it and it has ended."""

from candleworks.alerts.delivery import Delivered, deliver
from candleworks.alerts.evaluation import Changed, update
from candleworks.model.alerts import Alert, Result, Severity

__all__ = ["Alert", "Changed", "Delivered", "Result", "Severity", "deliver", "update"]
