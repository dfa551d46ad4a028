"""The live path: from a websocket to committed rows, with a spool on disk while the database is away."""
