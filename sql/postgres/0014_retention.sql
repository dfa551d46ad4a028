-- Retention of ticks by dropping whole partitions; candles stay.
-- Locks: none, everything is new.

-- Drops the partitions of `relation` whose ticks are all older than the given moment, and keeps as the horizon where the
-- remaining ticks begin. Returns the number of dropped partitions. It waits at most five seconds for readers.
CREATE FUNCTION candleworks.drop_ticks(relation text, older_than timestamptz) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('candleworks.refresh_candles'));
    FOR part IN
        SELECT t.relid, to_date(right(t.relid::regclass::text, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS start
        FROM pg_partition_tree(format('public.%I', relation)::regclass) t WHERE t.isleaf ORDER BY 2
    LOOP
        EXIT WHEN part.start + interval '7 days' > older_than;
        EXECUTE format('DROP TABLE %s', part.relid::regclass);
        dropped := dropped + 1;
        INSERT INTO candleworks.retention_horizons AS h (relation, dropped_before)
        VALUES (drop_ticks.relation, part.start + interval '7 days')
        ON CONFLICT ON CONSTRAINT retention_horizons_pkey DO UPDATE
            SET dropped_before = greatest(h.dropped_before, excluded.dropped_before);
    END LOOP;
    RETURN dropped;
END $$;
