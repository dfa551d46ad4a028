"""`python -m candleworks`."""

from candleworks.cli import run

run()
