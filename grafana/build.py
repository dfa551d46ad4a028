"""Writes dashboards/*.json from panels/*.yaml: `.venv/bin/python grafana/build.py`.

Grafana loads the JSON; the YAML says what is particular to a panel, and this file what all of a type have in common.
Only options that Grafana 9.5 and the current release share are used, and the classic format (schemaVersion 38 is 9.5's
own; newer releases migrate it when they load it).
"""

import json
from copy import deepcopy
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

HERE = Path(__file__).parent
SCHEMA_VERSION = 38
DATASOURCE = {"type": "postgres", "uid": "candleworks"}
LISTED = """\
WITH listed AS MATERIALIZED (
{sql}
)
SELECT __value, __text FROM listed
UNION ALL SELECT '', '{text}' WHERE NOT EXISTS (SELECT FROM listed)"""
SHARED = {"type": "datasource", "uid": "-- Dashboard --"}  # the rows of another panel
TAG = "candleworks"
COLOURS = {"up": "green", "down": "red", "flat": "gray"}
DASH = "\N{EN DASH}"  # what a missing value is shown as
# What several dashboards show of the same thing, by the name that their YAML uses.
VALUES = {
    "feed states": {
        "streaming": ["streaming", "green"],
        "quiet": ["quiet", "orange"],
        "asked": ["asked", "text"],
        "closed": ["closed", "blue"],
        "stopped": ["stopped", "purple"],
        "silent": ["silent", "red"],
        "down": ["down", "red"],
    },
    "severities": {"critical": ["critical", "red"], "warning": ["warning", "orange"], "info": ["info", "blue"]},
}
LEGEND = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
TOOLTIP = {"mode": "multi", "sort": "none"}
LINES = {
    "drawStyle": "line",
    "lineInterpolation": "linear",
    "lineWidth": 1,
    "fillOpacity": 10,
    "gradientMode": "none",
    "showPoints": "never",
    "pointSize": 4,
    "spanNulls": False,
    "axisPlacement": "auto",
    "axisLabel": "",
    "scaleDistribution": {"type": "linear"},
    "stacking": {"mode": "none", "group": "A"},
    "thresholdsStyle": {"mode": "off"},
    "hideFrom": {"legend": False, "tooltip": False, "viz": False},
}
REDUCE = {"values": False, "calcs": ["lastNotNull"], "fields": ""}

# What every panel of a type has, before what its YAML says is laid over it.
TYPES: dict[str, dict[str, Any]] = {
    "timeseries": {
        "options": {"legend": LEGEND, "tooltip": TOOLTIP},
        "custom": LINES,
        "format": "time_series",
    },
    "candlestick": {
        "options": {
            "mode": "candles+volume",
            "candleStyle": "candles",
            "colorStrategy": "open-close",
            "colors": COLOURS,
            "fields": {name: name for name in ("open", "high", "low", "close", "volume")},
            "includeAllFields": True,
            "legend": LEGEND,
            "tooltip": TOOLTIP,
        },
        "custom": {**LINES, "fillOpacity": 0},
        "format": "table",
    },
    "stat": {
        "options": {
            "reduceOptions": REDUCE,
            "orientation": "auto",
            "textMode": "value_and_name",
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
        },
        "custom": {},
        "format": "table",
    },
    "table": {
        "options": {
            "showHeader": True,
            "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "fields": ""},
        },
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": False},
        # A cell would have a colour of the palette.
        "overrides": {"/.*/": {"colour": "text"}},
        "format": "table",
    },
    "barchart": {
        "options": {
            "orientation": "auto",
            "showValue": "never",
            "stacking": "none",
            "groupWidth": 0.7,
            "barWidth": 0.9,
            "barRadius": 0,
            "xTickLabelRotation": 0,
            "xTickLabelSpacing": 0,
            "fullHighlight": False,
            "legend": {**LEGEND, "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        "custom": {"lineWidth": 1, "fillOpacity": 80, "gradientMode": "none", "axisPlacement": "auto", "axisLabel": ""},
        "format": "table",
    },
    "bargauge": {
        "options": {
            "displayMode": "gradient",
            "orientation": "horizontal",
            "reduceOptions": {**REDUCE, "values": True},
            "showUnfilled": True,
            "valueMode": "color",
            "minVizHeight": 10,
            "minVizWidth": 0,
        },
        "custom": {},
        "format": "table",
    },
    "state-timeline": {
        "options": {
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.85,
            "alignValue": "left",
            "legend": LEGEND,
            "tooltip": {"mode": "single", "sort": "none"},
        },
        "custom": {"lineWidth": 0, "fillOpacity": 75, "spanNulls": True},
        "format": "time_series",
    },
}


def overlay(base: Any, above: Any) -> Any:
    """Lay one tree of dictionaries over another; everything else replaces what it meets."""
    if not (isinstance(base, dict) and isinstance(above, dict)):
        return deepcopy(above)
    return {
        key: overlay(base.get(key), above[key]) if key in above else deepcopy(base[key]) for key in {**base, **above}
    }


def dashboard(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "annotations": {
            "list": [annotation(number, entry) for number, entry in enumerate(source.get("annotations", []))]
        },
        "description": source["description"],
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,  # one crosshair for all panels
        "id": None,
        "links": [links()],
        "liveNow": False,
        "panels": panels(source["panels"]),
        "refresh": source["refresh"],
        "schemaVersion": SCHEMA_VERSION,
        "tags": [TAG],
        "templating": {"list": [variable(name, entry) for name, entry in source.get("variables", {}).items()]},
        "time": {"from": source["from"], "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "1h"]},
        "timezone": "browser",
        "title": source["title"],
        "uid": source["uid"],
        "version": 1,
        "weekStart": "",
    }


def links() -> dict[str, Any]:
    """Link all dashboards in one menu, which takes the room of one of them."""
    return {
        "type": "dashboards",
        "title": "Dashboards",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def annotation(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "datasource": DATASOURCE,
        "enable": entry.get("enable", True),
        "hide": False,
        "iconColor": entry["colour"],
        "target": query(entry["sql"], "table", f"Annotation{number}"),
    }


def query(sql: str, output: str, name: str = "A") -> dict[str, Any]:
    return {
        "refId": name,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "format": output,
        "rawQuery": True,
        "rawSql": sql.strip(),
    }


def variable(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Make a list to choose from: of given values, or of a query's that is asked when the dashboard is loaded.

    A hidden one is computed from the others and the range, for titles and links.
    """
    hidden = entry.get("hidden", False)
    made = {
        "name": name,
        "label": entry["label"],
        "description": entry["description"].strip(),
        "hide": 2 if hidden else int(entry.get("unlabelled", False)),
        "skipUrlSync": False,
        "multi": entry.get("several", False),
        "includeAll": entry.get("all", False),
        "current": chosen(["All"], ["$__all"]) if "all" in entry else chosen(entry["default"], entry["default"]),
    }
    if "values" in entry:
        listed = [("All", "$__all")] * made["includeAll"] + [(value, value) for value in entry["values"]]
        options = [
            {"text": text, "value": value, "selected": value in made["current"]["value"]} for text, value in listed
        ]
        return made | {"type": "custom", "query": ",".join(entry["values"]), "options": options}
    sql = entry["sql"].strip() if hidden else never_empty(entry["sql"].strip(), entry["empty"])
    asked = {"type": "query", "datasource": DATASOURCE, "definition": sql, "query": sql}
    return made | asked | {"refresh": 2 if hidden else 1, "regex": "", "sort": 0, "options": []}


def never_empty(sql: str, text: str) -> str:
    """Let a query of values and texts return a row with this text where it has none: on no row Grafana 9.5 fails."""
    return LISTED.format(sql=indent(sql, "  "), text=text)


def chosen(text: str | list[str], value: str | list[str]) -> dict[str, Any]:
    """Return what is selected at first; Grafana takes the first option where there is none of that name."""
    return {"text": text, "value": value, "selected": True}


def panels(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number the panels; one that names another in `rows_of` shows the rows of that one's query."""
    made = [(text if "html" in entry else panel)(number, entry) for number, entry in enumerate(entries, start=1)]
    numbers = {entry["title"]: number for number, entry in enumerate(entries, start=1)}
    for entry, shown in zip(entries, made, strict=True):
        if "rows_of" in entry:
            rows = {"refId": "A", "datasource": SHARED, "panelId": numbers[entry["rows_of"]]}
            shown |= {"datasource": SHARED, "targets": [rows]}
    return made


def panel(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = entry["at"]
    place = {"x": x, "y": y, "w": width, "h": height}
    if entry["type"] == "row":
        heading = {"id": number, "type": "row", "title": entry["title"], "gridPos": place}
        return heading | {"collapsed": False, "panels": []}
    kind = TYPES[entry["type"]]
    empty = entry.get("empty", DASH)
    # Grafana says the same for no rows and for a null among them, unless the fields say otherwise.
    missing = {} if empty is None else {"/.*/": {"noValue": DASH}}
    overrides = overlay(missing, kind.get("overrides", {})) | entry.get("overrides", {})
    defaults = {
        "color": {"mode": "palette-classic"},
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": None}]},
        "custom": overlay(kind["custom"], entry.get("custom", {})),
    }
    if empty is not None:
        defaults["noValue"] = empty
    made = {
        "id": number,
        "type": entry["type"],
        "title": entry["title"],
        "description": entry["description"].strip(),
        "gridPos": place,
        "datasource": DATASOURCE,
        "fieldConfig": {
            "defaults": overlay(defaults, field(entry.get("fields", {}))),
            "overrides": [override(name, given) for name, given in overrides.items()],
        },
        "options": overlay(kind["options"], entry.get("options", {})),
        "targets": [query(entry["sql"], entry.get("format", kind["format"]))] if "sql" in entry else [],
        "transparent": False,
    }
    renamed = {
        "points": "maxDataPoints",
        "interval": "interval",
        "span": "timeFrom",
        "transformations": "transformations",
    }
    return made | {grafana: entry[ours] for ours, grafana in renamed.items() if ours in entry}


def text(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    """Make a panel of words and links, in which variables are replaced."""
    x, y, width, height = entry["at"]
    return {
        "id": number,
        "type": "text",
        "title": entry["title"],
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "options": {"mode": "html", "content": entry["html"].strip()},
        "transparent": True,
    }


def field(given: dict[str, Any]) -> dict[str, Any]:
    """Spell out short forms: thresholds as {colour: from}, values as {value: [text, colour]} or a name; one colour."""
    spelled = {key: value for key, value in given.items() if key not in {"steps", "values", "colour", "link"}}
    if "steps" in given:
        steps = [{"color": colour, "value": start} for colour, start in given["steps"].items()]
        spelled["thresholds"] = {"mode": "absolute", "steps": steps}
        spelled["color"] = {"mode": "thresholds"}
    if "values" in given:
        values = VALUES[given["values"]] if isinstance(given["values"], str) else given["values"]
        options = {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (value, (text, colour)) in enumerate(values.items())
        }
        spelled["mappings"] = [{"type": "value", "options": options}]
    if "colour" in given:
        spelled["color"] = {"mode": "fixed", "fixedColor": given["colour"]}
    if "link" in given:
        spelled["links"] = [{"title": given["link"]["title"], "url": given["link"]["url"], "targetBlank": False}]
    return spelled


def override(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Set properties of the fields of that name, or of those whose names match /.../."""
    matcher = "byRegexp" if name.startswith("/") else "byName"
    custom = {f"custom.{key}": value for key, value in given.get("custom", {}).items()}
    properties = field({key: value for key, value in given.items() if key != "custom"}) | custom
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def build() -> dict[str, str]:
    """Return the text of each dashboard by the name of its file."""
    made = {}
    for path in sorted((HERE / "panels").glob("*.yaml")):
        source = yaml.safe_load(path.read_text(encoding="utf-8"))
        made[f"{path.stem}.json"] = json.dumps(dashboard(source), indent=2, ensure_ascii=False) + "\n"
    return made


if __name__ == "__main__":
    for name, text in build().items():
        (HERE / "dashboards" / name).write_text(text, encoding="utf-8")
