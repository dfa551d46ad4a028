-- Schemas: everything in "public" is the contract; private tables and functions live in "candleworks", what the dashboards
-- ask in "dashboards", which may change with them.
-- Locks: none, everything is new.
CREATE SCHEMA candleworks;
CREATE SCHEMA dashboards;

-- Readers call the functions behind ohlc() as themselves; the tables stay private.
GRANT USAGE ON SCHEMA candleworks TO PUBLIC;

-- The class of an advisory lock, the first of its two keys. The numbers are those of candleworks/database/locks.py, which a
-- test compares; any other name is an error.
CREATE FUNCTION candleworks.lock_class(name text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    CASE name
        WHEN 'refresh_candles' THEN RETURN 716480005;
        WHEN 'insert_ticks' THEN RETURN 716480006;
        WHEN 'prepare_partitions' THEN RETURN 716480007;
        WHEN 'rest_credits' THEN RETURN 716480009;
    END CASE;
END $$;

COMMENT ON TABLE public.candleworks_migrations IS 'Migrations that were applied to this database.';
COMMENT ON COLUMN public.candleworks_migrations.name IS 'Directory and file below sql/, without .sql.';
COMMENT ON COLUMN public.candleworks_migrations.sha256 IS 'Hash of the file as it was applied.';
