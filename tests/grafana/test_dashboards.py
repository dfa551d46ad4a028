"""The dashboards' JSON and the provisioning files, held against what Grafana 9.5 and the current release know."""

import json
import re
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.grafana.expansion import DASHBOARDS, GRAFANA, VARIABLE, alert_rules, dashboard, duration, panels

BUILT = {path.stem: dashboard(path) for path in DASHBOARDS}
TEXTS = [(name, panel) for name, shown in BUILT.items() for panel in shown["panels"] if panel["type"] == "text"]
PANELS = [(name, panel) for name, shown in BUILT.items() for panel in panels(shown)]
ROWS = [panel for shown in BUILT.values() for panel in shown["panels"] if panel["type"] == "row"]
VARIABLES = [(name, variable) for name, shown in BUILT.items() for variable in shown["templating"]["list"]]
TOP_LEVEL = {
    "annotations", "description", "editable", "fiscalYearStartMonth", "graphTooltip", "id", "links", "liveNow",
    "panels", "refresh", "schemaVersion", "tags", "templating", "time", "timepicker", "timezone", "title",
    "uid", "version", "weekStart",
}  # fmt: skip
PANEL_KEYS = {
    "id", "type", "title", "description", "gridPos", "datasource", "fieldConfig", "options", "targets", "transparent",
    "maxDataPoints", "interval", "timeFrom", "transformations",
}  # fmt: skip
LEGEND = {"showLegend", "displayMode", "placement", "calcs"}
TOOLTIP = {"mode", "sort"}
GRAPH = {
    "drawStyle", "lineInterpolation", "lineWidth", "lineStyle", "fillOpacity", "gradientMode", "showPoints",
    "pointSize", "spanNulls", "axisPlacement", "axisLabel", "scaleDistribution", "stacking", "thresholdsStyle",
    "hideFrom", "axisSoftMax", "barAlignment",
}  # fmt: skip
# The options of each panel type, and the custom ones of its fields (panelcfg.cue of each plugin).
OPTIONS = {
    "timeseries": ({"legend", "tooltip"}, GRAPH),
    "candlestick": (
        {"mode", "candleStyle", "colorStrategy", "colors", "fields", "includeAllFields", "legend", "tooltip"},
        GRAPH,
    ),
    "stat": ({"reduceOptions", "orientation", "textMode", "colorMode", "graphMode", "justifyMode", "text"}, set()),
    "table": (
        {"showHeader", "cellHeight", "footer"},
        {"align", "cellOptions", "inspect", "filterable", "width", "minWidth", "hidden"},
    ),
    "barchart": (
        {
            "xField", "orientation", "showValue", "stacking", "groupWidth", "barWidth", "barRadius",
            "xTickLabelRotation", "xTickLabelSpacing", "fullHighlight", "legend", "tooltip",
        },
        {"lineWidth", "fillOpacity", "gradientMode", "axisPlacement", "axisLabel"},
    ),
    "bargauge": (
        {"displayMode", "orientation", "reduceOptions", "showUnfilled", "valueMode", "minVizHeight", "minVizWidth"},
        set(),
    ),
    "state-timeline": (
        {"mergeValues", "showValue", "rowHeight", "alignValue", "legend", "tooltip"},
        {"lineWidth", "fillOpacity", "spanNulls"},
    ),
}  # fmt: skip
FIELD_KEYS = {"color", "mappings", "thresholds", "custom", "noValue", "unit", "decimals", "min", "max", "links"}
UNITS = {"none", "short", "locale", "percent", "s", "ms", "bytes", "dateTimeAsIso", "dateTimeFromNow", "string"}
COLOURS = {"green", "red", "orange", "yellow", "blue", "purple", "gray", "text", "transparent"}
DASH = "\N{EN DASH}"
EVERY_COLUMN = "/.*/"
CELLS = {"auto", "color-text", "gauge"}
TRANSFORMATIONS = {"configFromData", "filterByValue", "organize", "partitionByValues"}
CALCULATIONS = {"lastNotNull", "mean", "max", "sum"}


def named(pairs: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{name}-{entry.get('title') or entry['name']}" for name, entry in pairs]


def test_the_json_is_what_the_panels_say() -> None:
    """Run `.venv/bin/python grafana/build.py` after a change of grafana/panels/."""
    scope: dict[str, Any] = {"__file__": str(GRAFANA / "build.py"), "__name__": "build"}
    exec(compile((GRAFANA / "build.py").read_text(), "build.py", "exec"), scope)  # noqa: S102 - a script beside its output
    assert scope["build"]() == {path.name: path.read_text() for path in DASHBOARDS}


def test_the_six_dashboards_are_there() -> None:
    """One name, one uid."""
    assert sorted(BUILT) == ["health", "market", "overview", "quality", "quotes", "storage"]
    assert {shown["uid"] for shown in BUILT.values()} == {f"candleworks-{name}" for name in BUILT}


@pytest.mark.parametrize("name", BUILT)
def test_a_dashboard_is_classic_json(name: str) -> None:
    """Files of the newer format ("elements", "kind") and exports for sharing ("__inputs") are not loaded by Grafana."""
    shown = BUILT[name]
    assert set(shown) == TOP_LEVEL
    assert 38 <= shown["schemaVersion"] <= 41
    assert shown["id"] is None
    assert shown["timezone"] == "browser"
    assert shown["description"]
    assert shown["tags"] == ["candleworks"]
    assert "__inputs" not in json.dumps(shown)
    assert duration(shown["refresh"]).total_seconds() >= 5
    assert duration(shown["time"]["from"].removeprefix("now-"))
    assert shown["time"]["to"] == "now"


@pytest.mark.parametrize("name", BUILT)
def test_dashboards_link_to_each_other(name: str) -> None:
    """By their tag, keeping the time and the variables, in one menu."""
    (link,) = BUILT[name]["links"]
    assert link["type"] == "dashboards"
    assert link["asDropdown"]
    assert link["tags"] == ["candleworks"]
    assert link["keepTime"]
    assert link["includeVars"]


@pytest.mark.parametrize("name", BUILT)
def test_panels_fill_the_grid_without_overlapping(name: str) -> None:
    """24 columns, numbers of their own, and no hole in a row of panels."""
    placed = BUILT[name]["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    cells = {panel["id"]: cells_of(panel["gridPos"]) for panel in placed}
    for one, other in combinations(cells, 2):
        assert not cells[one] & cells[other], (one, other)
    covered = set().union(*cells.values())
    assert covered == {(x, y) for x in range(24) for y in range(max(y for _, y in covered) + 1)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["title"])
def test_a_row_is_a_heading(row: dict[str, Any]) -> None:
    """Open, so that what follows it belongs to the dashboard and not to the row."""
    place = {"x": 0, "y": row["gridPos"]["y"], "w": 24, "h": 1}
    rest = {"id": row["id"], "title": row["title"], "type": "row"}
    assert row == {**rest, "gridPos": place, "collapsed": False, "panels": []}


def cells_of(at: dict[str, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named(PANELS))
def test_a_panel_has_what_its_type_knows(name: str, panel: dict[str, Any]) -> None:
    """Known type, options and custom fields, a description, and one query to the one data source.

    Or the rows of another panel's query.
    """
    options, custom = OPTIONS[panel["type"]]
    assert set(panel) <= PANEL_KEYS
    assert set(panel["options"]) <= options
    assert set(panel["fieldConfig"]["defaults"]["custom"]) <= custom
    assert set(panel["options"].get("legend", {})) <= LEGEND
    assert set(panel["options"].get("tooltip", {})) <= TOOLTIP
    assert set(panel["options"].get("legend", {}).get("calcs", [])) <= CALCULATIONS
    assert len(panel["description"]) > 20
    (target,) = panel["targets"]
    if "panelId" in target:
        assert target["datasource"] == panel["datasource"] == {"type": "datasource", "uid": "-- Dashboard --"}
    else:
        assert target["datasource"] == panel["datasource"] == {"type": "postgres", "uid": "candleworks"}
    source = query_of(name, panel)
    assert source["rawQuery"]
    assert source["format"] in {"table", "time_series"}
    assert {entry["id"] for entry in panel.get("transformations", [])} <= TRANSFORMATIONS


def query_of(name: str, panel: dict[str, Any]) -> dict[str, Any]:
    """Return the panel's query, or that of the panel whose rows it shows."""
    (target,) = panel["targets"]
    if "panelId" in target:
        (panel,) = (other for other in BUILT[name]["panels"] if other["id"] == target["panelId"])
        (target,) = panel["targets"]
    return dict(target)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named(PANELS))
def test_a_missing_value_is_a_dash(name: str, panel: dict[str, Any]) -> None:
    """What a panel says without any row is not said for a null among its values."""
    del name
    if "noValue" not in panel["fieldConfig"]["defaults"]:
        assert "noValue" not in json.dumps(panel)  # each minor line of a logarithmic axis would have it
        return
    first, *_ = panel["fieldConfig"]["overrides"]
    assert first["matcher"] == {"id": "byRegexp", "options": EVERY_COLUMN}
    assert {"id": "noValue", "value": DASH} in first["properties"]


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named(PANELS))
def test_fields_are_shown_with_known_units_and_colours(name: str, panel: dict[str, Any]) -> None:
    """Defaults and overrides alike; a number with a unit has its decimals set."""
    custom = OPTIONS[panel["type"]][1]
    assert set(panel["fieldConfig"]["defaults"]) <= FIELD_KEYS
    given = [panel["fieldConfig"]["defaults"]]
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] in {"byName", "byRegexp"}
        properties = {entry["id"]: entry["value"] for entry in override["properties"]}
        assert {key for key in properties if not key.startswith("custom.")} <= FIELD_KEYS
        assert {key.removeprefix("custom.") for key in properties if key.startswith("custom.")} <= custom
        assert properties.get("custom.cellOptions", {"type": "auto"})["type"] in CELLS
        given.append(properties)
    for field in given:
        unit = field.get("unit", "none")
        assert unit in UNITS or unit.startswith(("suffix:", "time:")), unit
        assert "decimals" in field or unit in {"none", "string"} or unit.startswith(("dateTime", "time:"))
        assert colours_of(field) <= COLOURS
        steps = [step["value"] for step in field.get("thresholds", {}).get("steps", [{"value": None}])]
        assert steps[0] is None
        assert steps[1:] == sorted(steps[1:])
        for link in field.get("links", []):
            assert_resolves(link["url"])
    del name


def colours_of(field: dict[str, Any]) -> set[str]:
    steps = [step["color"] for step in field.get("thresholds", {}).get("steps", [])]
    values = [option["color"] for mapping in field.get("mappings", []) for option in mapping["options"].values()]
    fixed = [field["color"]["fixedColor"]] if field.get("color", {}).get("mode") == "fixed" else []
    return {*steps, *values, *fixed}


@pytest.mark.parametrize(("name", "panel"), TEXTS, ids=[name for name, _ in TEXTS])
def test_links_of_a_text_lead_to_dashboards_or_the_page(name: str, panel: dict[str, Any]) -> None:
    """Grafana removes addresses without a dot, a slash or a protocol at their beginning."""
    del name
    assert panel["options"]["mode"] == "html"
    urls = re.findall(r'href="([^"]+)"', panel["options"]["content"])
    assert urls
    for url in urls:
        if not url.startswith("${page:raw}/?"):
            assert url.startswith("./d/")
            assert_resolves(url.removeprefix("."))


# What becomes the range of a link: Grafana's own, or one that a query gave.
RANGE = r"\$\{(__url_time_range|session:raw|__data\.fields\.Range:raw)\}"


def assert_resolves(url: str) -> None:
    """A link leads to a dashboard of ours and sets variables that this one has, unless the row says where it leads."""
    if url == "/d/${__data.fields.Link}&${__url_time_range}":
        return
    address = urlsplit(re.sub(r"\$\{(\w+):queryparam\}", r"var-\1=x", re.sub(RANGE, "from=1&to=2", url)))
    (found,) = [shown for shown in BUILT.values() if address.path == f"/d/{shown['uid']}"]
    known = {variable["name"] for variable in found["templating"]["list"]}
    assert {name.removeprefix("var-") for name in parse_qs(address.query)} <= known | {"from", "to", "refresh"}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named(PANELS))
def test_a_column_that_is_styled_is_asked_for(name: str, panel: dict[str, Any]) -> None:
    """An override or a stat for a name that no query gives would be a misprint."""
    sql = query_of(name, panel)["rawSql"]
    shown = panel["options"].get("reduceOptions", {}).get("fields", "")
    for column in shown.strip("/^$()").split("|"):
        assert column in {"", ".*"} or f'AS "{column}"' in sql, column
    for override in panel["fieldConfig"]["overrides"]:
        column = override["matcher"]["options"]
        if column == EVERY_COLUMN or "AS metric" in sql:  # names of series are values
            continue
        candle = panel["type"] == "candlestick" and column in {"volume", "SMA 20", "SMA 50", "forming"}
        named = re.escape(column) if not column.startswith("/") else column.strip("/").strip("^") + '[^"]*'
        assert candle or re.search(f'AS "{named}"', sql), column
    if panel["type"] == "candlestick":
        assert panel["options"]["fields"] == {key: key for key in ("open", "high", "low", "close", "volume")}
        assert panel["options"]["includeAllFields"]


@pytest.mark.parametrize(("name", "variable"), VARIABLES, ids=named(VARIABLES))
def test_a_variable_can_be_chosen_from(name: str, variable: dict[str, Any]) -> None:
    """A list of values or a query that runs when the dashboard is loaded; a label, a description and a default."""
    assert variable["label"]
    assert variable["description"]
    assert variable["current"]["value"]
    assert variable["hide"] in {0, 1, 2}  # shown, shown without its label, hidden
    if variable["type"] == "custom":
        values = [option["value"] for option in variable["options"]]
        assert values == ["$__all"] * variable["includeAll"] + variable["query"].split(",")
        assert any(option["selected"] for option in variable["options"])
    else:
        assert variable["type"] == "query"
        assert variable["refresh"] == (2 if variable["hide"] == 2 else 1)
        assert variable["datasource"] == {"type": "postgres", "uid": "candleworks"}
    used = {braced or plain for braced, _, plain, _ in VARIABLE.findall(json.dumps(BUILT[name]["panels"]))}
    assert variable["name"] in used


@pytest.mark.parametrize("name", BUILT)
def test_every_variable_that_is_used_exists(name: str) -> None:
    """What is not a variable of the dashboard is one of Grafana's own."""
    known = {variable["name"] for variable in BUILT[name]["templating"]["list"]}
    text = json.dumps([BUILT[name]["panels"], BUILT[name]["annotations"], BUILT[name]["templating"]])
    text = re.sub(r'"url": "[^"]*"', "", text)  # links carry the variables of the dashboard they lead to
    used = {braced or plain for braced, _, plain, _ in VARIABLE.findall(text)}
    assert {name for name in used if not name.startswith("__")} <= known


def provisioned(part: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning" / part).read_text(encoding="utf-8"))
    assert parsed["apiVersion"] == 1
    return parsed


def test_the_data_source_reads_as_the_reader() -> None:
    """The database stands inside jsonData, the password among the secrets, and both come from the environment."""
    (source,) = provisioned("datasources/candleworks.yaml")["datasources"]
    assert source["uid"] == "candleworks"
    assert source["type"] == "postgres"
    assert source["user"] == "candleworks_reader"
    assert source["secureJsonData"] == {"password": "$CANDLEWORKS_READER_PASSWORD"}
    assert source["jsonData"]["database"].startswith("$")
    assert source["jsonData"]["timescaledb"] is True
    assert "database" not in source
    assert source["editable"] is False


def test_dashboards_are_provided_from_their_directory() -> None:
    """Nobody can save over a file, and nothing else is given a folder."""
    (provider,) = provisioned("dashboards/candleworks.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["options"] == {"path": "$CANDLEWORKS_GRAFANA_DASHBOARDS"}


def test_alert_rules_are_paused_unless_switched_on() -> None:
    """The platform sends messages itself; whether Grafana does as well is said in the environment."""
    rules = alert_rules()
    assert [rule["uid"] for rule in rules] == ["candleworks-silent", "candleworks-behind", "candleworks-critical"]
    assert {rule["isPaused"] for rule in rules} == {"$CANDLEWORKS_GRAFANA_ALERTS_PAUSED"}


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["uid"])
def test_an_alert_rule_queries_reduces_and_compares(rule: dict[str, Any]) -> None:
    """In the only format that alerting takes; the rule leads to a panel that shows the same."""
    query, reduction, threshold = rule["data"]
    assert query["datasourceUid"] == "candleworks"
    assert query["model"]["format"] == "time_series"
    assert query["model"]["rawSql"].strip().startswith("SELECT now() AS time")
    assert reduction["model"] | {"datasource": None} == {
        "refId": "B", "type": "reduce", "expression": "A", "reducer": "last", "datasource": None,
    }  # fmt: skip
    assert threshold["model"]["expression"] == "B"
    assert threshold["refId"] == rule["condition"] == "C"
    assert {entry["datasourceUid"] for entry in (reduction, threshold)} == {"__expr__"}
    assert rule["noDataState"] in {"OK", "NoData", "Alerting"}
    assert rule["execErrState"] in {"OK", "Error", "Alerting"}
    notes = rule["annotations"]
    (shown,) = [shown for shown in BUILT.values() if shown["uid"] == notes["__dashboardUid__"]]
    (panel,) = [panel for panel in shown["panels"] if str(panel["id"]) == notes["__panelId__"]]
    assert panel["title"] in {"Last tick of every symbol", "Candle watermarks", "Active alerts"}


def test_messages_go_where_the_environment_says() -> None:
    """One contact point, and a policy that leads to it."""
    (point,) = provisioned("alerting/contact-points.yaml")["contactPoints"]
    (policy,) = provisioned("alerting/policies.yaml")["policies"]
    assert point["receivers"][0]["settings"]["url"] == "$CANDLEWORKS_GRAFANA_ALERT_WEBHOOK"
    assert policy["receiver"] == point["name"]


def test_no_file_holds_a_secret_or_a_braced_variable() -> None:
    """A $ inside the value of a braced variable would be expanded a second time."""
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        text = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
        assert "${" not in text, path
        for secret in re.findall(r"(?:password|url):\s*(\S+)", text):
            assert secret.startswith("$"), path


OPERATION = {"health", "quality", "storage"}
STATS = [(name, panel) for name, panel in PANELS if name in OPERATION and panel["type"] == "stat"]


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=named(PANELS))
def test_lines_and_cells_can_be_seen(name: str, panel: dict[str, Any]) -> None:
    """A threshold that is transparent hides what has its colour, and a gauge without an end is empty."""
    del name
    config = panel["fieldConfig"]
    given = [config["defaults"], *({p["id"]: p["value"] for p in o["properties"]} for o in config["overrides"])]
    for field in given:
        assert "transparent" not in colours_of(field)
        if field.get("custom.cellOptions", {}).get("type") == "gauge":
            assert field["max"] > field["min"]


@pytest.mark.parametrize(("name", "panel"), STATS, ids=named(STATS))
def test_a_number_that_is_missing_leaves_the_others_large(name: str, panel: dict[str, Any]) -> None:
    """All numbers of a panel are as small as its longest text has to be."""
    del name
    assert panel["fieldConfig"]["defaults"]["noValue"] == DASH
