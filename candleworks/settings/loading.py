"""Reads the file and the environment, and says what is wrong with them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from candleworks.errors import ConfigurationError
from candleworks.settings.feeds import OBJECT, PLAIN, Instrument
from candleworks.settings.whole import File, Settings

ENVIRONMENT = {
    "CANDLEWORKS_DSN": "dsn",
    "CANDLEWORKS_HOME": "home",
    "CANDLEWORKS_FEED_URL": "feed_url",
    "CANDLEWORKS_REST_URL": "rest_url",
    "CANDLEWORKS_WEB_PORT": "web_port",
    "CANDLEWORKS_PREFECT_PORT": "prefect_port",
    "CANDLEWORKS_TIMESCALEDB": "timescaledb",
    "CANDLEWORKS_READER_PASSWORD": "reader_password",
    "CANDLEWORKS_GRAFANA_HOME": "grafana_home",
    "CANDLEWORKS_GRAFANA_PORT": "grafana_port",
    "CANDLEWORKS_LOG_LEVEL": "log_level",
    "CANDLEWORKS_ALERT_URLS": "alert_urls",
    "TWELVEDATA_API_KEY": "api_key",
}
CONFIG_VARIABLE = "CANDLEWORKS_CONFIG"
CONFIG_FILE = "candleworks.yaml"
_SECRETS = frozenset({"dsn", "api_key", "alert_urls", "reader_password"})
# What is allowed where pydantic says it in the terms of a programmer; the rest of its messages are used as they are.
_ALLOWED = {
    "string_type": "a text (in quotes where YAML takes it for something else)",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "too_short": "a list of at least {min_length}",
    "invalid_key": "a text as the key",
    "literal_error": "{expected}",
}


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the YAML file it names (default `candleworks.yaml`, which may be absent).

    Raises ConfigurationError that names the key's path, the value and what is allowed.
    """
    environment = os.environ if environment is None else environment
    from_environment = {key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)}
    path = Path(environment.get(CONFIG_VARIABLE) or CONFIG_FILE)
    from_file = _read_file(path, required=bool(environment.get(CONFIG_VARIABLE)))
    try:
        file_part = File.model_validate(from_file)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, str(path))) from None
    try:
        return Settings.model_validate(file_part.model_dump(exclude_unset=True) | from_environment)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, "the environment")) from None


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(
                f"The configuration {path} named by {CONFIG_VARIABLE} does not exist: create it, or correct the path."
            ) from None
        return {}
    except OSError as error:
        raise ConfigurationError(
            f"The configuration {path} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigurationError(f"The configuration {path} is no YAML ({reason}): correct it.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"The configuration {path} is {content!r}, allowed are keys such as `feeds:`.")
    return content


def _explain(error: ValidationError, source: str) -> str:
    problem = error.errors(include_url=False)[0]
    keys = [part for part in problem["loc"] if part not in ("[key]", PLAIN, OBJECT)]  # pydantic's marks
    path = ".".join(map(str, keys))
    if source == "the environment":
        path = {key: name for name, key in ENVIRONMENT.items()}.get(path, path)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {path} is no known key, allowed here are {_keys_at(keys[:-1])}."
    value = "(secret)" if keys[0] in _SECRETS else repr(problem["input"])
    return f"{source}: {path} is {value}, allowed is {_allowed(problem)}."


def _allowed(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind == "model_type":
        return f"a section with the keys {_keys_at(problem['loc'])}"
    if kind.startswith(("int_", "float_", "greater_", "less_")):
        return _range(_model_at(problem["loc"][:-1]).model_fields[str(problem["loc"][-1])])
    if kind in _ALLOWED:
        return _ALLOWED[kind].format_map(problem.get("ctx", {}))
    return problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _range(field: FieldInfo) -> str:
    """Say which numbers a field takes; every number has a lower bound here, and most an upper one."""
    bounds = {type(bound): bound for bound in field.metadata}
    text = "a number" if field.annotation is float else "a whole number"
    if Gt in bounds:
        return f"{text} above {bounds[Gt].gt:,} and at most {bounds[Le].le:,}"
    return f"{text} from {bounds[Ge].ge:,} " + (f"to {bounds[Le].le:,}" if Le in bounds else "up")


def _keys_at(path: Sequence[int | str]) -> str:
    """Name the keys that may stand at `path` of the file."""
    model = _model_at(path) if path else File
    return ", ".join(sorted(model.model_fields))


def _model_at(path: Sequence[int | str]) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for part in path:
        if part not in model.model_fields:
            continue  # the position in a list, or the key of an exception
        field = model.model_fields[str(part)]
        exceptions = get_args(field.annotation)[1:] if get_origin(field.annotation) is dict else ()
        if exceptions and issubclass(exceptions[0], BaseModel):
            model = exceptions[0]
        else:
            inner = field.default
            model = type(inner[0] if isinstance(inner, tuple) else inner)
            if model is str:
                model = Instrument
    return model
