"""The server: connections, the embedded PostgreSQL, the two engines, migrations and profiles and locks."""
