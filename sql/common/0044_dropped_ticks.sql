-- Candles outlive their ticks whoever drops them: `candleworks maintain`, a policy of TimescaleDB, or a person. What was
-- dropped follows from the chunks or partitions that were there once and are not any more:
-- docs/decisions/0067-dropped-ticks.md.
-- Locks: none, but functions are replaced.

-- The chunks or partitions of ticks that were seen. `dropped_at` is when a part was missed; from then on its times are those
-- of the candles that were stored of it, and they stay as they are. `name` tells it from a stranger that a restored database
-- gives its number to; both are null where only candles show that there were ticks.
CREATE TABLE candleworks.tick_parts (
    relation text NOT NULL,
    part regclass,
    name text,
    starts_at timestamptz NOT NULL,
    stops_at timestamptz NOT NULL,
    dropped_at timestamptz
);
CREATE UNIQUE INDEX tick_parts_part ON candleworks.tick_parts (part) WHERE dropped_at IS NULL;
CREATE INDEX tick_parts_dropped ON candleworks.tick_parts (relation) WHERE dropped_at IS NOT NULL;

-- The times whose ticks are known to have been dropped.
CREATE FUNCTION candleworks.recorded_drops(ticks text) RETURNS tstzmultirange
LANGUAGE sql STABLE AS $$
    SELECT coalesce(range_agg(d.span), '{}') FROM (
        SELECT tstzrange(NULL, h.dropped_before) AS span FROM candleworks.retention_horizons h WHERE h.relation = ticks
        UNION ALL
        SELECT tstzrange(t.starts_at, t.stops_at) FROM candleworks.tick_parts t
        WHERE t.relation = ticks AND t.dropped_at IS NOT NULL
    ) d
$$;

-- The times whose ticks have been dropped, all of a part that nobody has missed yet included. Candles of these times have no
-- ticks to be computed from or compared with, and stay as they are. NOT IN is hashed: for NOT EXISTS, 300 chunks were compared
-- each with each, in 12 ms instead of 0.2.
CREATE FUNCTION candleworks.dropped_times(ticks text) RETURNS tstzmultirange
LANGUAGE sql STABLE AS $$
    SELECT candleworks.recorded_drops(ticks) + coalesce((
        SELECT range_agg(tstzrange(t.starts_at, t.stops_at)) FROM candleworks.tick_parts t
        WHERE t.relation = ticks AND t.dropped_at IS NULL AND t.part::oid NOT IN (
            SELECT i.inhrelid FROM pg_inherits i
            WHERE i.inhparent = (SELECT ('public.' || ticks)::regclass) AND NOT i.inhdetachpending
        )
    ), '{}')
$$;

-- Whether the parts there are are those that were seen. Their bounds are not asked: they change together with the parts. Takes
-- 0.3 ms with 150 parts, where asking takes 40.
CREATE FUNCTION candleworks.knows_tick_parts() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM (
            SELECT i.inhrelid FROM candleworks.candle_families f
            JOIN pg_inherits i ON i.inhparent = ('public.' || f.ticks)::regclass AND NOT i.inhdetachpending
        ) attached
        FULL JOIN (SELECT t.part FROM candleworks.tick_parts t WHERE t.dropped_at IS NULL) seen
            ON seen.part = attached.inhrelid
        WHERE attached.inhrelid IS NULL OR seen.part IS NULL
    )
$$;

-- Compares the parts there are with those that were seen. To be called before candles are computed from ticks: what was
-- dropped must be known by then, and what they are computed from.
CREATE FUNCTION candleworks.record_tick_parts() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missed record;
    moved_relations text[];
    moved_spans tstzrange[];
BEGIN
    IF candleworks.knows_tick_parts() THEN
        RETURN;
    END IF;
    -- Attached again, or merged with neighbours that are gone since.
    WITH moved AS (
        UPDATE candleworks.tick_parts t SET starts_at = a.starts_at, stops_at = a.stops_at, dropped_at = NULL
        FROM candleworks.attached_parts() a
        WHERE a.part = t.part AND a.part::text = t.name
            AND (t.dropped_at IS NOT NULL OR (t.starts_at, t.stops_at) <> (a.starts_at, a.stops_at))
        RETURNING t.relation, tstzrange(t.starts_at, t.stops_at) AS span
    )
    SELECT array_agg(m.relation), array_agg(m.span) INTO moved_relations, moved_spans FROM moved m;
    FOR missed IN
        SELECT t.part, EXISTS (
                SELECT FROM unnest(moved_relations, moved_spans) m(relation, span)
                WHERE m.relation = t.relation AND m.span @> tstzrange(t.starts_at, t.stops_at)
            ) AS merged,
            candleworks.stored_span(
                t.relation, greatest(t.starts_at, candleworks.ticks_kept_from(t.relation)), t.stops_at
            ) AS span
        FROM candleworks.tick_parts t
        WHERE t.dropped_at IS NULL AND NOT EXISTS (SELECT FROM candleworks.attached_parts() a WHERE a.part = t.part)
    LOOP
        IF missed.merged OR missed.span IS NULL THEN
            DELETE FROM candleworks.tick_parts t WHERE t.part = missed.part AND t.dropped_at IS NULL;
        ELSE
            UPDATE candleworks.tick_parts t
            SET starts_at = lower(missed.span), stops_at = upper(missed.span), dropped_at = now()
            WHERE t.part = missed.part AND t.dropped_at IS NULL;
        END IF;
    END LOOP;
    INSERT INTO candleworks.tick_parts (relation, part, name, starts_at, stops_at)
    SELECT a.relation, a.part, a.part::text, a.starts_at, a.stops_at FROM candleworks.attached_parts() a
    WHERE NOT EXISTS (SELECT FROM candleworks.tick_parts t WHERE t.part = a.part AND t.dropped_at IS NULL)
    ON CONFLICT (part) WHERE dropped_at IS NULL DO NOTHING;
END $$;

-- Compares the candles of one level ('1m', 'quote 1m') whose buckets start in [start, stop), which must be bounds of that
-- level, with the ticks that are still there; those that may have lost ticks excepted. Prices and counts have to be equal; sums
-- of volumes and what follows from them may differ in the last digits, because addition of floats depends on order.
CREATE OR REPLACE FUNCTION candleworks.audit_level(level text, start timestamptz, stop timestamptz)
RETURNS TABLE (symbol text, bucket timestamptz, kind text, stored jsonb, expected jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    audited record;
    expressions text;
    differences text;
BEGIN
    SELECT r.relation, r.width, r.family, f.ticks INTO audited
    FROM candleworks.candle_relations r JOIN candleworks.candle_families f ON f.name = r.family WHERE r.label = level;
    SELECT
        string_agg(format('%s AS %I', c.of_ticks, c.name), ', ' ORDER BY c.position),
        string_agg(format(
            CASE WHEN c.name IN ('volume', 'vwap', 'bid_volume', 'ask_volume')
                THEN 'candleworks.differ(e.%1$I, s.%1$I)' ELSE 'e.%1$I IS DISTINCT FROM s.%1$I' END, c.name
        ), ' OR ' ORDER BY c.position)
    INTO expressions, differences FROM candleworks.candle_columns c WHERE c.family = audited.family;
    RETURN QUERY EXECUTE format($sql$
        WITH expected AS (
            SELECT public.time_bucket($1, t.time) AS bucket, t.symbol, %1$s
            FROM public.%2$I t WHERE t.time >= $2 AND t.time < $3 GROUP BY 1, 2
        ), stored AS (
            SELECT c.* FROM public.%3$I c WHERE c.bucket >= $2 AND c.bucket < $3
        )
        SELECT symbol, bucket,
            CASE WHEN s.ticks IS NULL THEN 'missing' WHEN e.ticks IS NULL THEN 'surplus' ELSE 'wrong' END,
            CASE WHEN s.ticks IS NOT NULL THEN to_jsonb(s) - 'symbol' - 'bucket' END,
            CASE WHEN e.ticks IS NOT NULL THEN to_jsonb(e) - 'symbol' - 'bucket' END
        FROM expected e FULL JOIN stored s USING (symbol, bucket)
        WHERE (%4$s) AND NOT $4 && tstzrange(bucket, bucket + $1)
        ORDER BY bucket, symbol
    $sql$, expressions, audited.ticks, audited.relation, differences)
    USING audited.width, start, stop, candleworks.dropped_times(audited.ticks);
END $$;

-- One-minute candles of symbols, their buckets starting in [start, stop), that are not what their ticks say; those that may
-- have lost ticks excepted.
CREATE OR REPLACE FUNCTION candleworks.minute_differences(symbols text[], start timestamptz, stop timestamptz)
RETURNS TABLE (symbol text, bucket timestamptz, stored jsonb, expected jsonb)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE $sql$
        WITH expected AS (
            SELECT t.symbol, date_trunc('minute', t.time, 'UTC') AS bucket,
                (array_agg(t.price ORDER BY t.time))[1] AS open, max(t.price) AS high, min(t.price) AS low,
                (array_agg(t.price ORDER BY t.time DESC))[1] AS close, sum(t.volume) AS volume, count(*) AS ticks
            FROM public.stocks_real_time t
            WHERE t.symbol = ANY ($1) AND t.time >= $2 AND t.time < $3 GROUP BY 1, 2
        ), stored AS (
            SELECT c.symbol, c.bucket, c.open, c.high, c.low, c.close, c.volume, c.ticks FROM public.candles_1m c
            WHERE c.symbol = ANY ($1) AND c.bucket >= $2 AND c.bucket < $3
        )
        SELECT symbol, bucket, to_jsonb(s) - 'symbol' - 'bucket', to_jsonb(e) - 'symbol' - 'bucket'
        FROM expected e FULL JOIN stored s USING (symbol, bucket)
        WHERE ((s.open, s.high, s.low, s.close, s.ticks) IS DISTINCT FROM (e.open, e.high, e.low, e.close, e.ticks)
                OR candleworks.differ(s.volume, e.volume))
            AND NOT $4 && tstzrange(bucket, bucket + interval '1 minute')
    $sql$ USING symbols, date_trunc('minute', start, 'UTC'), stop, candleworks.dropped_times('stocks_real_time');
END $$;

-- What is there is recorded, and what is not there but has candles was dropped before. Days are counted whole.
SELECT candleworks.record_tick_parts();
INSERT INTO candleworks.tick_parts (relation, starts_at, stops_at, dropped_at)
SELECT c.relation, c.bucket, c.bucket + interval '24 hours', now()
FROM (
    SELECT DISTINCT 'stocks_real_time' AS relation, d.bucket FROM public.tick_candles_1d d UNION ALL
    SELECT DISTINCT 'quotes', d.bucket FROM public.quote_candles_1d d
) c
WHERE NOT EXISTS (
        SELECT FROM candleworks.tick_parts t
        WHERE t.relation = c.relation AND t.starts_at < c.bucket + interval '24 hours' AND t.stops_at > c.bucket
    )
    AND c.bucket >= candleworks.ticks_kept_from(c.relation);
