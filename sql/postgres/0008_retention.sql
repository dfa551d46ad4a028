-- Retention of ticks by dropping whole partitions; candles stay.
-- Locks: none, everything is new.

-- Drops the partitions of `relation` whose ticks are all older than the given moment, and keeps as the horizon where the
-- remaining ticks begin. Returns the number of dropped partitions. It waits at most five seconds for readers.
CREATE FUNCTION candleworks.drop_ticks(relation text, older_than timestamptz) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    part record;
    notes text := (SELECT 'candleworks.' || f.prefix || 'candle_invalidations'
        FROM candleworks.candle_families f WHERE f.ticks = relation);
    horizon timestamptz;
    noted boolean;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('candleworks.refresh_candles'));
    FOR part IN
        SELECT t.relid::regclass AS name,
            to_date(right(t.relid::regclass::text, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' + interval '168 hours' AS stop
        FROM pg_partition_tree(format('public.%I', relation)::regclass) t WHERE t.isleaf AND t.level > 0 ORDER BY 2
    LOOP
        EXIT WHEN part.stop > older_than;
        -- From here on no tick can come in between the last refresh and the drop.
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part.name);
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE bucket < $1)', notes) INTO noted USING part.stop;
            EXIT WHEN NOT noted;
            PERFORM candleworks.refresh_candles();
        END LOOP;
        EXECUTE format('DROP TABLE %s', part.name);
        horizon := part.stop;
        dropped := dropped + 1;
    END LOOP;
    IF dropped > 0 THEN
        INSERT INTO candleworks.retention_horizons AS h (relation, dropped_before)
        VALUES (drop_ticks.relation, horizon)
        ON CONFLICT ON CONSTRAINT retention_horizons_pkey DO UPDATE
            SET dropped_before = greatest(h.dropped_before, excluded.dropped_before);
    END IF;
    RETURN dropped;
END $$;
