"""`candleworks reader`: the role that dashboards read with."""

import typer

from candleworks.database.reader_role import READER, set_up_reader
from candleworks.runtime.database import migrated
from candleworks.settings import load_settings


def reader() -> None:
    """Let the role candleworks_reader read what dashboards show; its password is CANDLEWORKS_READER_PASSWORD."""
    settings = load_settings()
    password = settings.reader_password.get_secret_value() if settings.reader_password else None
    with migrated(settings, "reader") as connection:
        set_up_reader(connection, password)
    said = "has the password of CANDLEWORKS_READER_PASSWORD" if password else "has no new password"
    typer.echo(f"{READER} may read the public relations and {said}")
