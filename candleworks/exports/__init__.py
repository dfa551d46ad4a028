"""Ticks and candles out, as CSV, Parquet or Arrow files."""
