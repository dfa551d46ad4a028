-- Schemas: everything in "public" is the contract; private tables and functions live in "candleworks", what the dashboards
-- ask in "dashboards", which may change with them.
-- Locks: none, everything is new.
CREATE SCHEMA candleworks;
CREATE SCHEMA dashboards;

-- Readers call the functions behind ohlc() as themselves; the tables stay private.
GRANT USAGE ON SCHEMA candleworks TO PUBLIC;

COMMENT ON TABLE public.candleworks_migrations IS 'Migrations that were applied to this database.';
COMMENT ON COLUMN public.candleworks_migrations.name IS 'Directory and file below sql/, without .sql.';
COMMENT ON COLUMN public.candleworks_migrations.sha256 IS 'Hash of the file as it was applied.';
