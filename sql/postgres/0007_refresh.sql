-- Brings the stored candles up to date with their ticks, from the bottom level up.
-- Locks: one refresh at a time (advisory); rows of the candles that change.

-- Rewrites the candles of the given buckets of one relation. Returns how many candles changed.
CREATE FUNCTION candleworks.store_candles(
    level candleworks.candle_relations, symbols text[], buckets timestamptz[]
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    candle text := candleworks.candle_query(level, level.stored_source);
    names text;
    excluded_names text;
    stored_names text;
    written bigint;
    removed bigint;
BEGIN
    SELECT
        string_agg(format('%I', c.name), ', ' ORDER BY c.position),
        string_agg(format('excluded.%I', c.name), ', ' ORDER BY c.position),
        string_agg(format('s.%I', c.name), ', ' ORDER BY c.position)
    INTO names, excluded_names, stored_names FROM candleworks.candle_columns c WHERE c.family = level.family;
    EXECUTE format($sql$
        INSERT INTO %1$s AS s (bucket, symbol, %3$s)
        SELECT i.bucket, i.symbol, %3$s
        FROM unnest($1, $2) i(symbol, bucket)
        CROSS JOIN LATERAL (%2$s) c
        ON CONFLICT (symbol, bucket) DO UPDATE SET (%3$s) = ROW(%4$s)
        WHERE (%5$s) IS DISTINCT FROM (%4$s)
    $sql$, level.stored, candle, names, excluded_names, stored_names) USING symbols, buckets;
    GET DIAGNOSTICS written = ROW_COUNT;
    EXECUTE format($sql$
        DELETE FROM %1$s s
        USING unnest($1, $2) i(symbol, bucket)
        WHERE s.symbol = i.symbol AND s.bucket = i.bucket AND NOT EXISTS (SELECT FROM (%2$s) c)
    $sql$, level.stored, candle) USING symbols, buckets;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN written + removed;
END $$;

-- The query that takes the $1 oldest noted minutes of a family, in the order of the index of the notes; null for none. They
-- are deleted as a range: for a join the planner, for whom the notes are always empty, would compare each with each.
CREATE FUNCTION candleworks.take_notes_query(family candleworks.candle_families) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format($sql$
        WITH due AS MATERIALIZED (
            SELECT DISTINCT i.bucket, i.symbol FROM candleworks.%1$I i
            ORDER BY i.bucket, i.symbol LIMIT $1
        ), taken AS (
            DELETE FROM candleworks.%1$I i
            WHERE (i.bucket, i.symbol) <= (SELECT due.bucket, due.symbol FROM due ORDER BY 1 DESC, 2 DESC LIMIT 1)
        )
        SELECT array_agg(due.symbol), array_agg(due.bucket) FROM due
    $sql$, family.prefix || 'candle_invalidations')
$$;

-- Takes up to max_minutes of the noted minutes of one family and rebuilds every candle above them. Returns per level how
-- many candles were due and how many of them changed, and no row when nothing was noted. The notes and the ticks are read
-- by statements that see at least what the deletion of the notes saw, so a tick committed meanwhile keeps its own note for
-- the next time.
CREATE FUNCTION candleworks.refresh_family(wanted candleworks.candle_families, max_minutes integer)
RETURNS TABLE (level text, due integer, changed bigint)
LANGUAGE plpgsql AS $$
DECLARE
    symbols text[];
    buckets timestamptz[];
    r candleworks.candle_relations;
BEGIN
    EXECUTE candleworks.take_notes_query(wanted) INTO symbols, buckets USING max_minutes;
    IF symbols IS NULL THEN
        RETURN;
    END IF;
    FOR r IN SELECT * FROM candleworks.candle_relations c WHERE c.family = wanted.name ORDER BY c.width LOOP
        IF NOT r.of_ticks THEN
            SELECT array_agg(t.symbol), array_agg(t.bucket) INTO symbols, buckets FROM (
                SELECT DISTINCT d.symbol, public.time_bucket(r.width, d.bucket) AS bucket
                FROM unnest(symbols, buckets) d(symbol, bucket)
            ) t;
        END IF;
        level := r.label;
        due := cardinality(symbols);
        changed := candleworks.store_candles(r, symbols, buckets);
        RETURN NEXT;
    END LOOP;
END $$;

-- The same for every family: levels are called '1m' for trades and 'quote 1m' for quotes.
CREATE FUNCTION candleworks.refresh_candles(max_minutes integer DEFAULT 20000)
RETURNS TABLE (level text, due integer, changed bigint)
LANGUAGE plpgsql AS $$
DECLARE
    family candleworks.candle_families;
BEGIN
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('refresh_candles'), 0);
    FOR family IN SELECT * FROM candleworks.candle_families f ORDER BY f.prefix LOOP
        RETURN QUERY SELECT * FROM candleworks.refresh_family(family, max_minutes);
    END LOOP;
END $$;
