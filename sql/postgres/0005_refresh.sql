-- Brings the stored candles up to date with their ticks, from the bottom level up.
-- Locks: one refresh at a time (advisory); rows of the candles that change.

-- Rewrites the candles of the given buckets of one level. `source` is the function that knows their true value.
-- Returns how many candles changed.
CREATE FUNCTION candleworks.store_candles(
    level text, width interval, source text, symbols text[], buckets timestamptz[]
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
    removed bigint;
BEGIN
    EXECUTE format($sql$
        INSERT INTO candleworks.%1$I AS s
        SELECT d.bucket, d.symbol, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.day_volume, c.ticks, c.rebuilt
        FROM unnest($1, $2) d(symbol, bucket)
        CROSS JOIN LATERAL candleworks.%2$I(d.symbol, d.bucket, d.bucket + $3) c
        ON CONFLICT (symbol, bucket) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, vwap = excluded.vwap, day_volume = excluded.day_volume,
            ticks = excluded.ticks, rebuilt = excluded.rebuilt
        WHERE (s.open, s.high, s.low, s.close, s.volume, s.vwap, s.day_volume, s.ticks, s.rebuilt)
            IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
                excluded.vwap, excluded.day_volume, excluded.ticks, excluded.rebuilt)
    $sql$, 'stored_' || level, source) USING symbols, buckets, width;
    GET DIAGNOSTICS written = ROW_COUNT;
    EXECUTE format($sql$
        DELETE FROM candleworks.%1$I s
        USING unnest($1, $2) d(symbol, bucket)
        WHERE s.symbol = d.symbol AND s.bucket = d.bucket
            AND NOT EXISTS (SELECT FROM candleworks.%2$I(d.symbol, d.bucket, d.bucket + $3))
    $sql$, 'stored_' || level, source) USING symbols, buckets, width;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN written + removed;
END $$;

-- Takes up to max_minutes of the noted minutes and rebuilds every candle above them. Returns the changed candles per
-- level, and no row when nothing was noted. The notes and the ticks are read by statements that see at least what the
-- deletion of the notes saw, so a tick committed meanwhile keeps its own note for the next time.
CREATE FUNCTION candleworks.refresh_candles(max_minutes integer DEFAULT 20000)
RETURNS TABLE (level text, changed bigint)
LANGUAGE plpgsql AS $$
DECLARE
    symbols text[];
    buckets timestamptz[];
    l record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('candleworks.refresh_candles'));
    WITH due AS MATERIALIZED (
        SELECT DISTINCT i.bucket, i.symbol FROM candleworks.candle_invalidations i
        ORDER BY i.bucket, i.symbol LIMIT max_minutes
    ), taken AS (
        DELETE FROM candleworks.candle_invalidations i USING due
        WHERE i.symbol = due.symbol AND i.bucket = due.bucket
    )
    SELECT array_agg(due.symbol), array_agg(due.bucket) INTO symbols, buckets FROM due;
    IF symbols IS NULL THEN
        RETURN;
    END IF;
    FOR l IN SELECT * FROM candleworks.candle_levels ORDER BY width LOOP
        IF l.below IS NOT NULL THEN
            SELECT array_agg(t.symbol), array_agg(t.bucket) INTO symbols, buckets FROM (
                SELECT DISTINCT d.symbol, public.time_bucket(l.width, d.bucket) AS bucket
                FROM unnest(symbols, buckets) d(symbol, bucket)
            ) t;
        END IF;
        level := l.name;
        changed := candleworks.store_candles(
            l.name, l.width, coalesce('stored_candle_of_' || l.below, 'candle_of_ticks'), symbols, buckets);
        RETURN NEXT;
    END LOOP;
END $$;
