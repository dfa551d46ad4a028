"""`candleworks grafana`: an installed Grafana with the dashboards."""

import typer

from candleworks.runtime.database import prepared
from candleworks.runtime.grafana import grafana_address, require_grafana, run_grafana, set_up_grafana
from candleworks.settings import load_settings


def grafana() -> None:
    """Run an installed Grafana with the dashboards.

    It listens on 127.0.0.1 and reads the database in use.
    """
    settings = load_settings()
    command = require_grafana(settings)
    with prepared(settings) as dsn:
        environment = set_up_grafana(settings, dsn)
        typer.echo(f"Grafana {grafana_address(settings)}")
        run_grafana(command, environment)
