"""Loads the history before a symbol's first tick from the vendor's one-minute bars."""
