"""/openapi.json: what it describes is what the server does."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from starlette.routing import BaseRoute

from candleworks.candles.reads import CandleReader, open_reader
from candleworks.database.connection import Connection
from candleworks.stream import Hub
from candleworks.web.server import PageOptions, create_app
from tests.web.conftest import MONDAY, Store, every_minute, serving

# What the pages load.
HIDDEN = {"/assets/{version}/{name}", "/favicon.ico"}
PAGES = {"/", "/quality", "/quality/{check}", "/alerts/{number}/{action}"}


@pytest.fixture
def market(dsn: str) -> Iterator[CandleReader]:
    with open_reader(dsn) as market:
        yield market


@pytest.fixture
def described(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


@pytest.fixture
def filled(store: Store, connection: Connection) -> None:
    """A database that has what the examples name."""
    store("AAPL", every_minute(MONDAY, 500))
    connection.execute(
        "INSERT INTO feed_gaps (feed, started_at, reason) VALUES ('stocks', '2026-03-02 15:01+00', 'lost')"
    )
    connection.execute(
        'INSERT INTO quality_results ("check", subject, suite, severity, status)'
        " VALUES ('freshness', 'AAPL', 'ticks', 'warning', 'passed')"
    )


def routes(found: list[BaseRoute]) -> Iterator[str]:
    """The paths of all routes, those of included routers as well."""
    for route in found:
        if hasattr(route, "original_router"):
            prefix = route.include_context.prefix
            yield from (prefix + path for path in routes(route.original_router.routes))
        else:
            yield re.sub(r":\w+\}", "}", route.path)  # type: ignore[attr-defined]


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in set(item) - {"servers"}:
            yield path, method, item[method]


def example_url(path: str, operation: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The address and the query that the examples of all parameters make."""
    for each in operation["parameters"]:
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", str(each["example"]))
    return path, {each["name"]: each["example"] for each in operation["parameters"] if each["in"] == "query"}


def test_it_is_a_valid_document(described: dict[str, Any]) -> None:
    """As OpenAPI 3.1 defines it."""
    OpenAPI.model_validate(described)
    assert (described["openapi"], described["info"]["version"]) == ("3.1.0", "1")


def test_every_route_is_described(described: dict[str, Any], market: CandleReader, dsn: str) -> None:
    """And exists with the prefix of the version, unless it is a page."""
    served = set(routes(create_app(market, Hub(dsn), dsn, PageOptions()).routes))
    paths = set(described["paths"])
    assert {path for path in served if not path.startswith("/v1/")} == paths | HIDDEN
    assert {path.removeprefix("/v1") for path in served if path.startswith("/v1/")} == paths - PAGES
    servers = {path: item["servers"] for path, item in described["paths"].items()}
    assert {path for path, found in servers.items() if found == [{"url": "/"}]} == PAGES
    assert all(found == [{"url": "/v1"}] for path, found in servers.items() if path not in PAGES)


def test_everything_has_a_sentence_and_an_example(described: dict[str, Any]) -> None:
    """Operations, parameters, and what is answered."""
    for path, _, operation in operations(described):
        assert operation["summary"], path
        assert operation["description"].endswith("."), path
        for parameter in operation["parameters"]:
            assert re.match(r"[A-Z0-9a-z].*\.$", parameter["description"]), (path, parameter)
            assert parameter["example"] is not None
        for answer in operation["responses"].values():
            assert all("example" in content for content in answer["content"].values())


@pytest.mark.usefixtures("filled")
def test_every_example_answers_200(described: dict[str, Any], client: httpx.Client) -> None:
    """With all parameters at once, with each alone beside the required ones, and under both addresses."""
    for path, method, operation in operations(described):
        if method == "post":
            continue  # only the pages of the server may: tests/web/test_alert_desk.py
        url, query = example_url(path, operation)
        required = {each["name"] for each in operation["parameters"] if each["required"]}
        queries = [query, *({key: query[key] for key in {*required, name}} for name in query)]
        for prefix in ("",) if path in PAGES else ("", "/v1"):
            for each in queries:
                if path == "/stream" and not {"ticks", "periods"} & set(each):
                    continue  # one of both is required, and symbols with it
                wanted = {"symbols": query["symbols"], **each} if path == "/stream" else each
                with client.stream("GET", prefix + url, params=wanted) as answer:
                    assert answer.status_code == 200, (path, each, answer.read())
                    [media_type] = operation["responses"]["200"]["content"]
                    assert answer.headers["content-type"].startswith(media_type), path


@pytest.mark.usefixtures("filled")
def test_examples_of_answers_have_the_fields_of_answers(described: dict[str, Any], client: httpx.Client) -> None:
    """No field is missing in an example, and none is invented; the check page's fields may be left out."""
    for path, method, operation in operations(described):
        content = operation["responses"]["200"]["content"].get("application/json")
        if method == "post" or content is None or path == "/openapi.json":
            continue
        url, query = example_url(path, operation)
        answer = client.get(
            url, params={key: value for key, value in query.items() if key in ("symbol", "period")}
        ).json()
        compare(content["example"], answer, path)


def compare(example: Any, real: Any, where: str) -> None:
    if isinstance(example, dict) and isinstance(real, dict) and not where.endswith("markets"):
        assert set(example) == set(real) or (where == "/quality.json[0]" and set(example) <= set(real)), where
        for name in example:
            compare(example[name], real[name], f"{where}.{name}")
    elif isinstance(example, list) and isinstance(real, list) and example and real:
        compare(example[0], real[0], f"{where}[0]")


@pytest.mark.usefixtures("filled")
def test_what_is_described_is_what_is_read(described: dict[str, Any], client: httpx.Client) -> None:
    """An unknown parameter is refused with the names of the others: those that are described."""
    for path, _, operation in operations(described):
        names = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
        if names:
            answer = client.get(path, params={"nonsense": "1"})
            assert answer.status_code == 400
            assert f"expected one of the parameters {', '.join(names)} instead" in answer.text


@pytest.mark.usefixtures("filled")
def test_defaults_are_what_is_read_without_them(described: dict[str, Any], client: httpx.Client) -> None:
    """Giving every default changes nothing."""
    for path, method, operation in operations(described):
        query = {each["name"]: each for each in operation["parameters"] if each["in"] == "query"}
        defaults = {name: each["schema"]["default"] for name, each in query.items() if "default" in each["schema"]}
        if method == "get" and defaults and path not in ("/watchlist.json", "/stream"):
            given = {name: each["example"] for name, each in query.items() if each["required"]}
            assert client.get(path, params=given).content == client.get(path, params={**given, **defaults}).content


@pytest.mark.usefixtures("filled")
def test_every_choice_is_read(described: dict[str, Any], client: httpx.Client) -> None:
    """And nothing else."""
    for path, _, operation in operations(described):
        for parameter in operation["parameters"]:
            for choice in parameter["schema"].get("enum", ()) if path != "/stream" else ():
                answer = client.get(path, params={"symbol": "AAPL", parameter["name"]: choice})
                assert answer.status_code == 200, (path, parameter["name"], choice)


@pytest.mark.usefixtures("filled")
def test_answers_for_programs_have_a_version(client: httpx.Client) -> None:
    """Errors as well; pages and what they are made of have none."""
    for path in (
        "/ohlc.json?symbol=AAPL",
        "/v1/ohlc.csv?symbol=AAPL",
        "/ohlc.arrow?symbol=AAPL",
        "/symbols",
        "/ohlc.csv",
    ):
        assert client.get(path).headers["api-version"] == "1", path
    assert "api-version" not in client.get("/").headers


@pytest.mark.usefixtures("filled")
def test_links_stay_within_the_version(client: httpx.Client) -> None:
    """Who began with /v1 goes on with it."""
    answer = client.get("/v1/ohlc.json", params={"symbol": "AAPL", "limit": 2})
    assert "/v1/ohlc.json?" in answer.json()["next"]
    assert "/v1/ohlc.json?" in answer.links["next"]["url"]
    assert client.get("/v2/ohlc.json").status_code == 404


def test_requests_of_an_address_are_limited(dsn: str) -> None:
    """With status 429 and when to come again; files of the page, health and metrics are not counted."""
    options = PageOptions(requests_per_second=0.1, request_burst=3)
    with serving(dsn, options=options) as url, httpx.Client(base_url=url, timeout=30) as client:
        assets = re.findall(r'"(/assets/[^"]+)"', client.get("/").text)
        assert [client.get("/symbols").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get("/v1/ohlc.csv?symbol=AAPL")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert refused.text == "The address 127.0.0.1 sends more than 0.1 requests per second: try again in 10 s.\n"
        for path in ("/", "/healthz", "/v1/metrics", *assets):
            assert client.get(path).status_code == 200, path
