"""Corrected fields of rejected ticks that are JSON objects."""

import json
from collections.abc import Mapping
from typing import Any


def corrected_object(fields: Mapping[str, Any], corrections: Mapping[str, str]) -> str:
    """Return a JSON object with corrected fields; `null` removes a value."""
    return json.dumps(
        {**fields, **{name: corrected_value(text) for name, text in corrections.items()}}, separators=(",", ":")
    )


def corrected_value(text: str) -> Any:
    """Return numbers and null as such, everything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else text
