"""How fast candleworks is, each time beside something that people use for the same job. Run `make bench`."""
