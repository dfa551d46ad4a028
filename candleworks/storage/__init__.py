"""PostgreSQL and TimescaleDB: the only package that talks to the database."""
