"""Candles: refreshed from ticks, audited and read; bars of a vendor or a file written as ticks; calendars."""
