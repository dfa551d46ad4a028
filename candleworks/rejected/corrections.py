"""Corrections of a payload: single fields of it, or all of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from candleworks.errors import UsageError

Corrections = Mapping[str, str]


def corrections_of(assignments: Sequence[str]) -> dict[str, str]:
    """Read assignments such as `price=12.5`; UsageError where one is none."""
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{assignment!r} sets nothing: write a field and its value, such as price=12.5.")
        found[name.strip()] = value.strip()
    return found


def corrected_object(fields: Mapping[str, Any], corrections: Corrections) -> str:
    """Return a JSON object with corrected fields, in their place; `null` takes a value away."""
    return json.dumps({**fields, **{name: _value(text) for name, text in corrections.items()}}, separators=(",", ":"))


def _value(text: str) -> Any:
    """Read numbers and null as such, everything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else text
