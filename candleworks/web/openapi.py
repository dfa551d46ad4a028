"""`/openapi.json`: every endpoint, its parameters and an example of its answer.

It is written from what the routes are made of: their paths, their docstrings, and the tables that read parameters.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from inspect import getdoc
from typing import Any

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute

from candleworks.web.parameters import SYMBOL, Parameter, Parameters
from candleworks.web.responses import json_answer
from candleworks.web.security import API_VERSION

PREFIX = f"/v{API_VERSION}"
_ERROR = {"error": "The parameter limit is '0', expected a whole number from 1 to 50000."}
_ABOUT = (
    "Candles, gaps and prices as candleworks stores them. The addresses are those of this version with the prefix"
    f" {PREFIX}, and without it those of the newest version; every answer has the header API-Version. Errors are one"
    " sentence."
)
_EXAMPLE = {
    "openapi": "3.1.0",
    "info": {"title": "candleworks", "version": API_VERSION},
    "servers": [{"url": PREFIX}],
    "paths": {"/symbols": {}},
}
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

Answers = dict[int | str, dict[str, Any]]
Object = dict[str, Any]


def answers(media_type: str, example: object) -> Answers:
    """Describe the answer of a route: its type, and an example of its content."""
    return {200: {"content": {media_type: {"example": example}}}}


def openapi_routes(data: Sequence[APIRouter], pages: Sequence[APIRouter]) -> APIRouter:
    """Return the route of the description of these routers, of which those of `data` have versions."""
    router = APIRouter()

    @router.api_route("/openapi.json", methods=["GET", "HEAD"], responses=answers("application/json", _EXAMPLE))
    def openapi_json() -> Response:
        """This description, in OpenAPI 3.1."""
        return json_answer(described())

    @cache
    def described() -> Object:
        return describe([*data, router], pages)

    return router


def describe(data: Iterable[APIRouter], pages: Iterable[APIRouter]) -> Object:
    paths: dict[str, Object] = {}
    for routers, server in ((data, PREFIX), (pages, "/")):
        for route in documented(routers):
            paths[_PARAMETER.sub(r"{\1}", route.path)] = {"servers": [{"url": server}], **_operations(route)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "candleworks", "version": API_VERSION, "description": _ABOUT},
        "servers": [{"url": PREFIX}],
        "paths": paths,
    }


def documented(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    """Yield the routes that are described: all but those of files that the pages are made of."""
    for router in routers:
        yield from (route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema)


def query_parameters(route: APIRoute) -> tuple[Parameter[Any], ...]:
    """Return the parameters that the route reads."""
    tables = (dependency.call for dependency in route.dependant.dependencies)
    return tuple(each for table in tables if isinstance(table, Parameters) for each in table.parameters)


def _operations(route: APIRoute) -> Object:
    method = "post" if _changes(route) else "get"
    text = " ".join((getdoc(route.endpoint) or "").split())
    operation: Object = {
        "operationId": route.name,
        "summary": text.partition(". ")[0].rstrip("."),
        "description": text,
        "parameters": [*map(_path_parameter, route.dependant.path_params), *map(_described, query_parameters(route))],
        "responses": _responses(route),
        **(route.openapi_extra or {}),
    }
    return {method: operation}


def _changes(route: APIRoute) -> bool:
    return "POST" in (route.methods or ())


def _path_parameter(field: Any) -> Object:
    about = field.field_info
    return {
        "name": field.alias,
        "in": "path",
        "required": True,
        "description": about.description,
        "schema": {"type": "integer" if about.annotation is int else "string"},
        "example": about.examples[0],
    }


def _described(parameter: Parameter[Any]) -> Object:
    schema: Object = {"type": "string"}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
        "example": parameter.example,
    }


def _responses(route: APIRoute) -> Object:
    found: Object = {
        str(status): {"description": "The answer.", **about} for status, about in sorted(route.responses.items())
    }
    parameters = query_parameters(route)
    if parameters or _changes(route):
        found["400"] = _failure("A parameter is unknown, missing or invalid.")
    if SYMBOL in parameters:
        found["404"] = _failure("The symbol is not stored.")
    found["429"] = _failure("Too many requests; Retry-After says in how many seconds to try again.")
    found["503"] = _failure("The database does not answer.")
    return found


def _failure(description: str) -> Object:
    return {"description": description, "content": {"application/json": {"example": _ERROR}}}
