"""Brings stored candles up to date with their ticks."""

from candleworks.storage.candles import refresh

__all__ = ["refresh"]
