-- Retention of ticks by dropping whole partitions; candles stay. `candleworks maintain` closes a partition, detaches it
-- concurrently, so that neither readers nor writers of other partitions wait, and drops it:
-- docs/decisions/0035-dropping-ticks.md.
-- Locks: none, everything is new.

-- The partitions of ticks and the ends of their weeks. state: attached; detaching, after a detach that was interrupted; or
-- detached, after a drop that was.
CREATE VIEW candleworks.tick_partitions AS
SELECT
    f.ticks AS relation,
    c.relname::text AS partition,
    to_date(w.week, 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' + interval '168 hours' AS stop,
    CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'detaching' ELSE 'attached' END AS state
FROM candleworks.candle_families f
CROSS JOIN pg_class c
CROSS JOIN LATERAL substring(c.relname FROM '^' || f.ticks || '_([0-9]{8})$') w(week)
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'candleworks'::regnamespace AND c.relkind = 'r' AND w.week IS NOT NULL;

-- Stores the candles of everything that ends before `stop`, and moves the horizon there: ticks before it leave candles
-- alone from then on. Waits for transactions that write to the partition, at most as long as lock_timeout says; readers do
-- not notice.
CREATE FUNCTION candleworks.close_partition(relation text, partition text, stop timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    notes text := (SELECT 'candleworks.' || f.prefix || 'candle_invalidations'
        FROM candleworks.candle_families f WHERE f.ticks = relation);
    noted boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('refresh_candles'), 0);
    -- From here on no tick can come in between the last refresh and the new horizon.
    EXECUTE format('LOCK TABLE candleworks.%I IN SHARE ROW EXCLUSIVE MODE', partition);
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE bucket < $1)', notes) INTO noted USING stop;
        EXIT WHEN NOT noted;
        PERFORM candleworks.refresh_candles();
    END LOOP;
    INSERT INTO candleworks.retention_horizons AS h (relation, dropped_before) VALUES (close_partition.relation, stop)
    ON CONFLICT ON CONSTRAINT retention_horizons_pkey DO UPDATE
        SET dropped_before = greatest(h.dropped_before, excluded.dropped_before);
END $$;
