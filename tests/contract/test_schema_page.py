"""What is public is described in the database, and the page about it is made of that."""

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from docs.schema_page import FUNCTIONS, PAGE, RELATIONS, schema_page


def test_everything_public_has_a_comment(connection: Connection) -> None:
    """Relations and functions; and columns of tables that can be null say what null means."""
    relations = connection.execute(RELATIONS).fetchall()
    assert [name for _, name, comment, _ in relations if not comment] == []
    functions = connection.execute(FUNCTIONS).fetchall()
    assert [call for call, _, comment in functions if not comment] == []
    silent = [
        f"{name}.{column}"
        for is_table, name, _, columns in relations
        for column, _, null, comment in columns
        if is_table and null and "Null: " not in comment
    ]
    assert silent == []


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_page_about_the_schema_is_up_to_date(connection: Connection) -> None:
    """Where this fails, `make docs` writes it again."""
    current = PAGE.read_text() == schema_page(connection)
    assert current, "docs/reference/schema.md is not current: run `make docs` and commit the result"
