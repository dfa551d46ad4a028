"""Market ticks in, correct candles out."""

__version__ = "0.1.0"
