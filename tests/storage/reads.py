"""What PostgreSQL counted of the reading of tables."""

from collections.abc import Sequence

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine


def tables_of(engine: Engine, *relations: str) -> str:
    """Return a query for the partitions or chunks of the relations, by their numbers."""
    names = ", ".join(f"'{name}'" for name in relations)
    if engine is Engine.TIMESCALE:
        return (
            "SELECT (quote_ident(chunk_schema) || '.' || quote_ident(chunk_name))::regclass::bigint"
            f" FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name IN ({names})"
        )
    return (
        f"SELECT p.relid::bigint FROM unnest(ARRAY[{names}]::regclass[]) r"
        " CROSS JOIN LATERAL pg_partition_tree(r) p WHERE p.isleaf"
    )


def counted(connection: Connection, count: str, tables: str, parameters: Sequence[object] = ()) -> int:
    """Add up a count of PostgreSQL's statistics so far, over the tables whose numbers a query gives."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    statement = f"SELECT sum({count}) FROM pg_stat_all_tables WHERE relid IN ({tables})"
    row = connection.execute(statement, parameters or None).fetchone()
    return int(row[0]) if row else 0
