"""From the results of checks to alerts, and from alerts to notifications."""

from candleworks.alerts.delivery import DeliveryCounts, deliver
from candleworks.alerts.evaluation import AlertChanges, announce, apply_results, update
from candleworks.model.alerts import Alert, CheckResult, Severity

__all__ = [
    "Alert",
    "AlertChanges",
    "CheckResult",
    "DeliveryCounts",
    "Severity",
    "announce",
    "apply_results",
    "deliver",
    "update",
]
