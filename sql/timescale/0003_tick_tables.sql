-- How tables of ticks are stored: hypertables with the configured chunk interval.
-- Locks: none, everything is new.
CREATE FUNCTION candleworks.create_ticks(name text, columns text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE public.%I (%s)', name, columns);
    PERFORM public.create_hypertable(
        format('public.%I', name)::regclass,
        public.by_range('time', current_setting('candleworks.chunk_interval')::interval),
        create_default_indexes => false
    );
END $$;

-- TimescaleDB makes chunks by itself; the function exists so that callers need not know.
CREATE FUNCTION candleworks.prepare_partitions(table_name text, first timestamptz, last timestamptz) RETURNS void
LANGUAGE sql IMMUTABLE RETURN NULL;
