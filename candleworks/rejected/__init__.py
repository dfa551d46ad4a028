"""Retries rejected ticks, corrected or as they are."""
