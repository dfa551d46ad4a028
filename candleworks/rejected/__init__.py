"""Rejected ticks, corrected or newly acceptable, on their way into the tables."""
