"""`candleworks grafana`: an installed Grafana, shown our database and our dashboards."""

import os

import typer

from candleworks.database.connection import connect
from candleworks.database.profiles import ADMIN
from candleworks.database.reader_role import address_of, set_up_reader
from candleworks.errors import ConfigurationError, UsageError
from candleworks.runtime.database import prepared
from candleworks.runtime.grafana import address_of_page, environment, find_grafana, run_grafana
from candleworks.settings import load_settings


def grafana() -> None:
    """Run an installed Grafana on 127.0.0.1 with candleworks' dashboards and database."""
    settings = load_settings()
    command = find_grafana(settings)
    if command is None:
        raise UsageError(
            "No Grafana was found: put grafana or grafana-server on PATH, or set CANDLEWORKS_GRAFANA_HOME to the"
            " directory that holds its bin/ and conf/."
        )
    with prepared(settings) as dsn:
        address = address_of(dsn)
        password = settings.reader_password.get_secret_value() if settings.reader_password else ""
        if not (password or address.is_socket):
            raise ConfigurationError(
                "CANDLEWORKS_READER_PASSWORD is not set, and Grafana cannot sign in without it: set it, it becomes the"
                " password of candleworks_reader."
            )
        with connect(dsn, "grafana", profile=ADMIN) as connection:
            set_up_reader(connection, password or None)
        typer.echo(f"Grafana {address_of_page(settings)}")
        run_grafana(command, {**os.environ, **environment(settings, address, password)})
