"""`python -m candleworks`."""

from candleworks.cli.main import main

main()
