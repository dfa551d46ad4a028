"""A database that is there and does not store."""

from candleworks.database.connection import Connection

_REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'not here' USING ERRCODE = TG_ARGV[0]; END $$
"""


def refuse_ticks(connection: Connection, sqlstate: str) -> None:
    """Answer every tick with an error, as a full disk (53100) does."""
    connection.execute(_REFUSE)
    connection.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT ON stocks_real_time FOR EACH ROW EXECUTE FUNCTION refuse('{sqlstate}')"
    )


def accept_ticks(connection: Connection) -> None:
    """End refuse_ticks()."""
    connection.execute("DROP TRIGGER refuse ON stocks_real_time")


def set_read_only(admin: Connection, value: str) -> None:
    """As a failover does, or a provider whose disk is full; `value` is on or off."""
    admin.execute("SET default_transaction_read_only = off")
    admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    admin.execute("SELECT pg_reload_conf()")
