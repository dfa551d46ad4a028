#!/bin/sh
# Makes the roles and databases of candleworks and Prefect, with the passwords of the environment; harmless to repeat, and
# the way to change a password. Runs in the image of the database, with its psql; PGHOST, PGUSER and PGDATABASE name the
# server, its superuser and the database that the image has made.
set -eu
# psql quotes what it puts in for :'name', so any character may stand in a password. They come by the environment: what
# stands on a command line can be seen by everybody.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\getenv candleworks_password CANDLEWORKS_DB_PASSWORD
\getenv prefect_password PREFECT_DB_PASSWORD
SET client_min_messages = warning;
SELECT format('CREATE ROLE %I LOGIN', wanted)
FROM unnest(ARRAY['candleworks', 'prefect']) wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) \gexec
-- The first migration makes the role of the dashboards.
ALTER ROLE candleworks CREATEROLE PASSWORD :'candleworks_password';
ALTER ROLE prefect PASSWORD :'prefect_password';
ALTER DATABASE candleworks OWNER TO candleworks;
CREATE EXTENSION IF NOT EXISTS timescaledb;
-- template1 has TimescaleDB in this image, which Prefect has no use for.
SELECT 'CREATE DATABASE prefect OWNER prefect TEMPLATE template0'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'prefect') \gexec
REVOKE CONNECT ON DATABASE prefect FROM PUBLIC;
SQL
# The migrations are not run by a superuser, who alone may do this.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file="${RESTRICTIONS:-/restrictions.sql}"
