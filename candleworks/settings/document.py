"""Reads a YAML document from an untrusted source; what cannot be a configuration is rejected early.

The parser's events are checked before anything is built from them: PyYAML recurses once per level (3,000 brackets end
in a RecursionError, 100,000 in a crash of libyaml's binding), keeps the last of two equal keys, and expands
aliases and merge keys without bound.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

try:
    from yaml import CSafeLoader as BaseLoader  # ten times as fast; a PyYAML that was built without libyaml lacks it
except ImportError:
    from yaml import SafeLoader as BaseLoader  # type: ignore[assignment]

MAX_DEPTH = 50
MAX_VALUES = 2_000_000  # 400,000 symbols that are written as objects
_MERGE = "<<"
_TAGS = (None, "!", "tag:yaml.org,2002:str")


class DocumentError(ValueError):
    """The document is invalid; the text says why and where, without its name."""


class _Loader(BaseLoader):
    """Keeps dates as strings: no setting is a date, and 2026-99-99 would raise an error of its own."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(text: str) -> Any:
    """Return the content of the document, None for an empty one; raises DocumentError."""
    try:
        _inspect(text)
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader with fewer resolvers
    except yaml.YAMLError as error:
        raise DocumentError(f"is not valid YAML ({_words(error)})") from None
    except DocumentError:
        raise
    except ValueError as error:  # such as a number of 5,000 digits
        raise DocumentError(f"has an invalid value ({_words(error)})") from None


def _words(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).replace(' in "<unicode string>",', " in"))


@dataclass
class _Collection:
    """A list or a mapping that is being read; `lines` are those of a mapping's keys."""

    mapping: bool
    anchor: str | None
    values: int = 1
    children: int = 0
    lines: dict[str, int] = field(default_factory=dict)


def _inspect(text: str) -> None:
    """Raise DocumentError for deep nesting, too many values once aliases are expanded, duplicate keys and tags."""
    sizes: dict[str, int] = {}
    open_collections = [_Collection(mapping=False, anchor=None)]
    for event in yaml.parse(text, _Loader):
        if isinstance(event, CollectionEndEvent):
            ended = open_collections.pop()
            _add(open_collections[-1], ended.values, ended.anchor, sizes)
        elif isinstance(event, NodeEvent):
            _check_tag(event)
            _check_key(open_collections[-1], event)
            if isinstance(event, CollectionStartEvent):
                open_collections.append(_Collection(isinstance(event, MappingStartEvent), event.anchor))
                if len(open_collections) > MAX_DEPTH:
                    raise DocumentError(f"is nested more than {MAX_DEPTH} levels deep{_place(event)}")
            elif isinstance(event, AliasEvent):
                _add(open_collections[-1], _size(sizes, event), None, sizes)
            else:
                _add(open_collections[-1], 1, event.anchor, sizes)


def _add(parent: _Collection, values: int, anchor: str | None, sizes: dict[str, int]) -> None:
    if anchor is not None:
        sizes[anchor] = values
    parent.children += 1
    parent.values += values
    if parent.values > MAX_VALUES:
        raise DocumentError(f"has more than {MAX_VALUES:,} values once its aliases are expanded")


def _size(sizes: dict[str, int], alias: AliasEvent) -> int:
    if alias.anchor not in sizes:
        raise DocumentError(f"has the alias *{alias.anchor} without a complete anchor before it{_place(alias)}")
    return sizes[alias.anchor]


def _check_tag(event: NodeEvent) -> None:
    tag = getattr(event, "tag", None)
    if tag not in _TAGS:
        raise DocumentError(f"has the tag {tag}{_place(event)}, and only !!str is allowed")


def _check_key(parent: _Collection, event: NodeEvent) -> None:
    if not parent.mapping or parent.children % 2 or not isinstance(event, ScalarEvent) or event.value == _MERGE:
        return
    line = _line(event)
    if event.value in parent.lines:
        raise DocumentError(f"has the duplicate key {event.value} in lines {parent.lines[event.value]} and {line}")
    parent.lines[event.value] = line


def _place(event: Event) -> str:
    return f" in line {_line(event)}"


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
