"""What Grafana makes of a query before PostgreSQL sees it, and of every query that the files in grafana/ hold.

First the browser replaces variables, then the PostgreSQL data source replaces $__interval and its macros, in the order
and the spelling of pkg/tsdb/grafana-postgresql-datasource (macros.go, sqleng/sql_engine.go) and
public/app/features/templating.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
VARIABLE = re.compile(r"\$\{(\w+)(?:\.[^:}]+)?(?::(\w+))?\}|\$(\w+)|\[\[(\w+)\]\]")
MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
# What Grafana rounds the share of the range that a pixel gets to: below the first number, the second, in milliseconds.
STEPS = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000), (3_500, 2_000),
    (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000),
    (210_000, 120_000), (450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000),
    (2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000),
    (32_400_000, 21_600_000), (86_400_000, 43_200_000), (604_800_000, 86_400_000), (1_814_400_000, 604_800_000),
    (3_628_800_000, 2_592_000_000),
)  # fmt: skip


@dataclass(frozen=True)
class Query:
    """One SQL text with what Grafana knows when it sends it.

    `kind` is the panel's type, or annotation, variable or alert.
    """

    where: str
    kind: str
    format: str
    sql: str
    start: datetime
    stop: datetime
    interval_ms: int
    variables: dict[str, str | list[str]] = field(default_factory=dict)

    def expanded(self, *, timescaledb: bool = True) -> str:
        """Return the SQL that reaches the database; ValueError for what Grafana would refuse."""
        return _macros(
            _intervals(_variables(self.sql, self.variables), self.interval_ms), self, timescaledb=timescaledb
        )


def dashboard(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def panels(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something: not the headings of rows."""
    return [panel for panel in shown["panels"] if panel["type"] not in ("row", "text")]


def alert_rules() -> list[dict[str, Any]]:
    parsed = yaml.safe_load((GRAFANA / "provisioning/alerting/rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in parsed["groups"] for rule in group["rules"]]


def variable_queries(now: datetime, chosen: dict[str, str | list[str]]) -> Iterator[Query]:
    for path in DASHBOARDS:
        for variable in dashboard(path)["templating"]["list"]:
            if variable["type"] == "query":
                where = f"{path.stem}: variable {variable['name']}"
                yield Query(
                    where, "variable", "table", variable["query"], now - timedelta(hours=6), now, 60_000, chosen
                )


def queries(now: datetime, chosen: dict[str, str | list[str]], span: timedelta | None = None) -> Iterator[Query]:
    """Yield what every panel, annotation and alert rule asks at `now`, with these values for the variables.

    The visible range is `span`, or each dashboard's own default.
    """
    for path in DASHBOARDS:
        shown = dashboard(path)
        length = span or duration(shown["time"]["from"].removeprefix("now-"))
        for entry in shown["annotations"]["list"]:
            where = f"{path.stem}: annotation {entry['name']}"
            interval = interval_ms(length, points=100)
            yield Query(where, "annotation", "table", entry["target"]["rawSql"], now - length, now, interval, chosen)
        for panel in panels(shown):
            seen = duration(panel["timeFrom"]) if "timeFrom" in panel else length
            at_least = duration(panel.get("interval", "1s"))
            interval = interval_ms(seen, panel.get("maxDataPoints", 1_000), at_least)
            for target in (target for target in panel["targets"] if "rawSql" in target):
                where = f"{path.stem}: {panel['title']}"
                yield Query(where, panel["type"], target["format"], target["rawSql"], now - seen, now, interval, chosen)
    for rule in alert_rules():
        data = rule["data"][0]
        length = timedelta(seconds=data["relativeTimeRange"]["from"])
        yield Query(
            f"alert: {rule['title']}",
            "alert",
            data["model"]["format"],
            data["model"]["rawSql"],
            now - length,
            now,
            1_000,
        )


def duration(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])


def interval_ms(span: timedelta, points: int, at_least: timedelta = timedelta(seconds=1)) -> int:
    """Return the time between two points that Grafana chooses for a panel."""
    exact = span / timedelta(milliseconds=1) / points
    rounded = next((rounded for below, rounded in STEPS if exact < below), 31_536_000_000)
    return max(rounded, at_least // timedelta(milliseconds=1))


def _variables(sql: str, values: dict[str, str | list[str]]) -> str:
    def replace(match: re.Match[str]) -> str:
        braced, form, plain, bracketed = match.groups()
        name = braced or plain or bracketed
        if name not in values:
            if braced:
                raise ValueError(f"{match[0]} has no value")
            return match[0]
        value = values[name]
        listed = value if isinstance(value, list) else [value]
        if form == "sqlstring":
            return ",".join("'" + one.replace("'", "''") + "'" for one in listed)
        raise ValueError(f"{match[0]} would be put into SQL without quotes that hold")

    return VARIABLE.sub(replace, sql)


def _intervals(sql: str, milliseconds: int) -> str:
    text = next(
        (f"{milliseconds // size}{unit}" for unit, size in
         (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)) if milliseconds >= size),
        f"{milliseconds}ms",
    )  # fmt: skip
    return sql.replace("$__interval_ms", str(milliseconds)).replace("$__interval", text)


def _macros(sql: str, query: Query, *, timescaledb: bool) -> str:
    def replace(match: re.Match[str]) -> str:
        name, arguments = match[1], [argument.strip() for argument in match[2].split(",")]
        if name == "__timeGroup" and sql[match.end() : match.end() + 1] == ",":
            name = "__timeGroupAlias"
        return _macro(name, arguments, query, timescaledb=timescaledb)

    return MACRO.sub(replace, sql)


def _macro(name: str, arguments: list[str], query: Query, *, timescaledb: bool) -> str:
    match name:
        case "__timeFilter":
            return f"{arguments[0]} BETWEEN '{_nanoseconds(query.start)}' AND '{_nanoseconds(query.stop)}'"
        case "__timeFrom":
            return f"'{_nanoseconds(query.start)}'"
        case "__timeTo":
            return f"'{_nanoseconds(query.stop)}'"
        case "__timeGroup":
            seconds = duration(arguments[1].strip("'")).total_seconds()
            if timescaledb:
                return f"time_bucket('{seconds:.3f}s',{arguments[0]})"
            return f"floor(extract(epoch from {arguments[0]})/{seconds:g})*{seconds:g}"
        case "__timeGroupAlias":
            return _macro("__timeGroup", arguments, query, timescaledb=timescaledb) + ' AS "time"'
    raise ValueError(f'unknown macro "{name}"')


def _nanoseconds(moment: datetime) -> str:
    """Return Go's time.RFC3339Nano: no trailing zeros."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"
