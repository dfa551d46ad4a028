"""Reads the configuration file and the environment, and reports what is invalid."""

import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from candleworks.errors import ConfigurationError
from candleworks.settings.document import DocumentError, read_document
from candleworks.settings.feeds import OBJECT, PLAIN, Instrument
from candleworks.settings.model import File, Settings

ENVIRONMENT = {
    "CANDLEWORKS_DSN": "dsn",
    "CANDLEWORKS_HOME": "home",
    "CANDLEWORKS_FEED_URL": "feed_url",
    "CANDLEWORKS_REST_URL": "rest_url",
    "CANDLEWORKS_SIMULATED": "shows_simulated",
    "CANDLEWORKS_WEB_PORT": "web_port",
    "CANDLEWORKS_PREFECT_PORT": "prefect_port",
    "CANDLEWORKS_POSTGRES": "postgres",
    "CANDLEWORKS_TIMESCALEDB": "timescaledb",
    "CANDLEWORKS_READER_PASSWORD": "reader_password",
    "CANDLEWORKS_GRAFANA_HOME": "grafana_home",
    "CANDLEWORKS_GRAFANA_PORT": "grafana_port",
    "CANDLEWORKS_LOG_LEVEL": "log_level",
    "CANDLEWORKS_ALERT_URLS": "alert_urls",
    "CANDLEWORKS_ALERTMANAGER_URL": "alertmanager_url",
    "TWELVEDATA_API_KEY": "api_key",
}
CONFIG_VARIABLE = "CANDLEWORKS_CONFIG"
CONFIG_FILE = "candleworks.yaml"
MAX_FILE_BYTES = 16_777_216
MAX_SHOWN_CHARACTERS = 200
_SECRETS = frozenset({"dsn", "api_key", "alert_urls", "alertmanager_url", "reader_password"})
_SECRET_PARTS = re.compile(r"[@?]")  # of a URL: what ends a password, and what comes before a key
_STRING = "a string (quoted where YAML would read another type)"
# What is expected, where pydantic says so in the terms of Python; its other messages are used as they are.
_EXPECTED = {
    "bool_parsing": "true or false",
    "string_type": _STRING,
    "invalid_key": _STRING,
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "too_short": "a list with at least {min_length} item",
    "literal_error": "{expected}",
}


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the YAML file it names (default `candleworks.yaml`, which may be absent).

    Raises ConfigurationError with the path of the key, its value and what is expected.
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
        content = read_document(_text(path))
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
    except DocumentError as error:
        raise ConfigurationError(f"The configuration {path} {_cut(str(error))}: correct it.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"The configuration {path} is {_shown(content)}, expected a mapping with keys such as `feeds:`."
        )
    return content


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)  # it may be a device that never ends
    if len(content) > MAX_FILE_BYTES:
        raise DocumentError(f"is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not valid YAML ({error})") from None


def _explain(error: ValidationError, source: str) -> str:
    problem = error.errors(include_url=False)[0]
    keys = [part for part in problem["loc"] if part not in ("[key]", PLAIN, OBJECT)]  # added by pydantic
    path, section = _path(keys), _path(keys[:-1])
    if source == "the environment":
        path = {key: name for name, key in ENVIRONMENT.items()}.get(path, path)
    if problem["type"] == "extra_forbidden":
        return f"{source}: unknown key {path}, expected one of {_keys_at(keys[:-1])}."
    if problem["type"] == "missing":
        return f"{source}: the key {path} is required: add it."
    value = "(secret)" if keys[0] in _SECRETS or _may_be_secret(keys, problem["input"]) else _shown(problem["input"])
    if problem["type"] == "invalid_key" or "[key]" in problem["loc"]:
        place = f" in {section}" if section else ""
        return f"{source}: invalid key {_shown(problem['input'])}{place}, expected {_expected(problem)}."
    return f"{source}: {path} is {value}, expected {_expected(problem)}."


def _may_be_secret(keys: Sequence[int | str], value: object) -> bool:
    """Whether a URL has a part that may be a password or a key."""
    return str(keys[-1]).endswith("url") and isinstance(value, str) and bool(_SECRET_PARTS.search(value))


def _path(keys: Sequence[int | str]) -> str:
    return ".".join(_cut(str(key) if str(key).isprintable() else repr(key)) for key in keys)


class _ValueRepr(reprlib.Repr):
    """Writes the beginning of a value: its size does not decide how long that takes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxstring = self.maxother = MAX_SHOWN_CHARACTERS

    def repr_str(self, x: str, level: int) -> str:
        of_url = _SECRET_PARTS.search(x) and ("://" in x or "=" in x)
        return "(secret)" if of_url else super().repr_str(x, level)

    def repr_int(self, x: int, level: int) -> str:
        # Python writes no number of more than 4,300 digits, and a hexadecimal one may have them.
        return super().repr_int(x, level) if x.bit_length() < 512 else f"a number of {x.bit_length()} bits"


def _shown(value: object) -> str:
    return _cut(_ValueRepr().repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _expected(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind == "model_type":
        return f"a mapping with the keys {_keys_at(problem['loc'])}"
    if kind.startswith(("int_", "float_", "greater_", "less_")):
        return _range(_model_at(problem["loc"][:-1]).model_fields[str(problem["loc"][-1])])
    if kind in _EXPECTED:
        return _EXPECTED[kind].format_map(problem.get("ctx", {}))
    return problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _range(field: FieldInfo) -> str:
    """Describe the range of a number; each has a lower bound, and most have an upper one."""
    bounds = {type(bound): bound for bound in field.metadata}
    text = "a number" if field.annotation is float else "a whole number"
    if Gt in bounds:
        return f"{text} greater than {bounds[Gt].gt:,} and at most {bounds[Le].le:,}"
    if Le in bounds:
        return f"{text} from {bounds[Ge].ge:,} to {bounds[Le].le:,}"
    return f"{text} of at least {bounds[Ge].ge:,}"


def _keys_at(path: Sequence[int | str]) -> str:
    """List the keys that are valid at `path` of the file."""
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
