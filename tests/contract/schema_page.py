"""Writes the page about the public schema from the comments of a database; run as a program, of a fresh one."""

import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.migrations import migrate
from candleworks.settings import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "schema.md"
COMMAND = "make docs"
INTRODUCTION = f"""# Schema

What is in the schema `public` of a database. Names, columns and types are the same on both engines; the definitions at
the end are those of plain PostgreSQL. Times are `timestamptz`, prices `double precision`.

Made from the comments in the database, which `\\d+` of psql shows as well: do not edit this page, run
`{COMMAND}`.
"""

RELATIONS = """
    SELECT c.relkind IN ('r', 'p') AS is_table, c.relname, obj_description(c.oid, 'pg_class'),
        (
            SELECT array_agg(ARRAY[
                a.attname::text, format_type(a.atttypid, NULL), CASE WHEN a.attnotnull THEN '' ELSE 'null' END,
                coalesce(col_description(c.oid, a.attnum), '')
            ] ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        )
    FROM pg_class c LEFT JOIN candleworks.candle_relations l ON l.relation = c.relname
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
    ORDER BY is_table DESC, l.family DESC NULLS LAST, l.width, c.relname
"""
FUNCTIONS = """
    SELECT format('%s(%s)', p.proname, pg_get_function_arguments(p.oid)), pg_get_function_result(p.oid),
        obj_description(p.oid, 'pg_proc')
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
    ORDER BY 1
"""
DEFINITIONS = """
    SELECT r.relation, pg_get_viewdef(('public.' || r.relation)::regclass, 110)
    FROM candleworks.candle_relations r ORDER BY r.family DESC, r.width
"""


def schema_page(connection: Connection) -> str:
    """The page in Markdown, of a migrated database."""
    relations = connection.execute(RELATIONS).fetchall()
    parts = [INTRODUCTION, "## Tables\n"]
    for _, name, comment, columns in (row for row in relations if row[0]):
        parts += [f"### {name}\n", f"{comment}\n", _columns(columns, "column | type | null | meaning")]
    parts.append("## Views\n")
    for columns, alike in groupby((row for row in relations if not row[0]), key=lambda row: row[3]):
        parts += [*_views(alike), _columns([[name, kind, text] for name, kind, _, text in columns])]
    parts.append("## Functions\n")
    functions = connection.execute(FUNCTIONS).fetchall()
    for (name, comment), alike in groupby(functions, key=lambda row: (row[0].partition("(")[0], row[2])):
        calls = "\n".join(f"{call} RETURNS {result}" for call, result, _ in alike)
        parts.append(f"### {name}\n\n```sql\n{calls}\n```\n\n{comment}\n")
    parts.append(
        "## Definitions of the candles\n\nMade by `candleworks.create_candles()` in `sql/postgres/0006_candles.sql`.\n"
    )
    for name, definition in connection.execute(DEFINITIONS).fetchall():
        parts.append(f"### Definition of {name}\n\n```sql\n{definition.strip()}\n```\n")
    return "\n".join(parts).replace("timestamp with time zone", "timestamptz")


def _views(alike: Iterator[Any]) -> Iterator[str]:
    """The views that have the same columns, below each other."""
    for _, name, comment, _ in alike:
        yield f"### {name}\n"
        yield f"{comment}\n"


def _columns(columns: list[list[str]], head: str = "column | type | meaning") -> str:
    rows = [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in columns]
    return "\n".join([f"| {head} |", f"|{'---|' * (head.count('|') + 1)}", *rows, ""])


def main() -> None:
    """Write the page anew, of a database that is made for it."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedServer(Path(directory), None).use() as dsn:
        migrate(dsn, load_settings({}))
        with connect(dsn) as connection:
            PAGE.write_text(schema_page(connection))


if __name__ == "__main__":
    main()
