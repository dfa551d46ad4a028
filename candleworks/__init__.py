"""Market ticks in, correct candles out.

`candles()`, `ticks()`, `quotes()` and `trades_with_quotes()` read tables from the database, `stream()` follows what is
stored: docs/how-to/notebooks.md.
"""

import sys
from types import ModuleType
from typing import Any

from candleworks.reader import candles, quotes, stream, ticks, trades_with_quotes

__version__ = "0.1.0"
__all__ = ["candles", "quotes", "stream", "ticks", "trades_with_quotes"]


class _CallablePackage(ModuleType):
    """A subpackage with the name of a function, such as candleworks.candles, which is called as that function."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.__wrapped__(*arguments, **named)


class _Package(ModuleType):
    """Keeps the functions when the import system binds a subpackage of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value.__wrapped__ = getattr(self, name)  # type: ignore[attr-defined] # what inspect and help() look for
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
