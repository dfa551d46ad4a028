"""What is offered is what the database has, and all of it is documented."""

import re
from pathlib import Path

import psycopg
import pytest

from candleworks.candles.indicators import INDICATORS
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.indicators.conftest import COLUMNS, Market

PAGE = Path(__file__).parents[2] / "docs/reference/indicators.md"
OF_EVERY = {"symbol", "period", "from", "to", "price", "zone"}
ONLY_IN_SQL = {"volume_profile"}  # it has no value per candle
FUNCTIONS = """
    SELECT p.proname, p.proargnames, p.proargmodes::text[], p.pronargs,
        ARRAY(SELECT pg_get_function_arg_default(p.oid, n) FROM generate_series(1, p.pronargs) n ORDER BY n),
        obj_description(p.oid, 'pg_proc')
    FROM pg_proc p WHERE p.pronamespace = 'indicators'::regnamespace
"""

ON_ONE_ENGINE = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@ON_ONE_ENGINE
def test_the_functions_are_those_that_are_offered(connection: Connection) -> None:
    """With the same parameters, defaults and columns, each in its order."""
    found = {row[0]: row for row in connection.execute(FUNCTIONS)}
    assert set(found) == {*INDICATORS, *ONLY_IN_SQL}
    for name, indicator in INDICATORS.items():
        _, names, modes, count, defaults, comment = found[name]
        assert comment
        taken = dict(zip(names[:count], defaults, strict=True))
        own = {parameter: float(default) for parameter, default in taken.items() if parameter not in OF_EVERY}
        assert list(own.items()) == list(indicator.defaults().items()), name
        returned = [column for column, mode in zip(names, modes, strict=True) if mode == "t"]
        assert returned == ["bucket", *indicator.columns], name
        assert COLUMNS[name] == list(indicator.columns)


@ON_ONE_ENGINE
@pytest.mark.parametrize(("name", "parameter"), [(i.name, p.name) for i in INDICATORS.values() for p in i.parameters])
def test_the_bounds_are_those_of_the_database(market: Market, name: str, parameter: str) -> None:
    """Both bounds are accepted, what lies beyond them is not."""
    bounds = next(p for p in INDICATORS[name].parameters if p.name == parameter)
    for value in (bounds.least, bounds.most):
        others = {"slow_length": 10_000} if parameter == "fast_length" else {"fast_length": 1}
        try:
            market.read(name, "NONE", **{**(others if name == "macd" else {}), parameter: value})
        except psycopg.errors.InvalidParameterValue as error:
            assert "it must be less than the slow length" in str(error)  # noqa: PT017 - the only other rule
    for value in (bounds.least - 1, bounds.most + 1):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="it must be from"):
            market.read(name, "NONE", **{parameter: value})


def test_each_function_is_documented() -> None:
    """A section with formula, source, parameters, columns, nulls and an example that calls it; examples are run."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    assert set(sections) == {"Rules", *INDICATORS, *ONLY_IN_SQL}
    for name in (*INDICATORS, *ONLY_IN_SQL):
        text = sections[name]
        for part in ("```text", "- Source: ", "- Parameters: ", "- Columns: ", "- Null: "):
            assert part in text, (name, part)
        assert f"indicators.{name}(" in text
    for name, indicator in INDICATORS.items():
        columns = re.search(r"^- Columns: (.*)$", sections[name], re.MULTILINE)
        parameters = re.search(r"^- Parameters: (.*)$", sections[name], re.MULTILINE)
        assert columns
        assert parameters
        assert re.findall(r"`(\w+)`", columns[1]) == list(indicator.columns)
        assert re.findall(r"`(\w+)` \(", parameters[1]) == [parameter.name for parameter in indicator.parameters]
