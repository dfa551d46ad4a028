"""Market ticks in, correct candles out.

`candles()`, `ticks()`, `quotes()` and `trades_with_quotes()` read tables from the database,
`stream()` follows what is stored: docs/how-to/notebooks.md.
"""

import sys
from types import ModuleType

from candleworks.reader import candles, quotes, stream, ticks, trades_with_quotes

__version__ = "0.1.0"
__all__ = ["candles", "quotes", "stream", "ticks", "trades_with_quotes"]


class _Package(ModuleType):
    """Keeps the functions under their names when a subpackage of the same name, such as candles, is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
