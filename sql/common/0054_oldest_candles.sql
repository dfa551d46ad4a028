-- As before, but the first minute of a day is looked for in its first hour: all minutes of a day and all symbols were read.
CREATE OR REPLACE FUNCTION dashboards.contents() RETURNS TABLE (relation text, rows bigint, oldest timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    family candleworks.candle_families;
    days record;
    hour timestamptz;
    minute timestamptz;
    first_of text := $sql$
        SELECT min(f.at) FROM unnest($2) s(symbol)
        CROSS JOIN LATERAL (
            SELECT t.%2$I AS at FROM public.%1$I t
            WHERE t.symbol = s.symbol AND t.%2$I >= $1 AND t.%2$I < $1 + $3 ORDER BY t.%2$I LIMIT 1
        ) f
    $sql$;
BEGIN
    FOR family IN SELECT * FROM candleworks.candle_families LOOP
        -- In one statement: planning the view of plain PostgreSQL takes longer than reading it.
        EXECUTE format($sql$
            WITH days AS MATERIALIZED (
                SELECT d.symbol, d.bucket, d.ticks, d.bucket >= coalesce((
                    SELECT h.dropped_before FROM dashboards.retention h WHERE h.relation = $1
                ), '-infinity') AS has_ticks
                FROM public.%I d WHERE d.ticks > 0
            ), firsts AS (
                SELECT min(bucket) AS candles, min(bucket) FILTER (WHERE has_ticks) AS ticks FROM days
            )
            SELECT coalesce(sum(d.ticks) FILTER (WHERE d.has_ticks), 0)::bigint AS ticks,
                min(f.candles) AS candle_day, array_agg(d.symbol) FILTER (WHERE d.bucket = f.candles) AS candle_symbols,
                min(f.ticks) AS tick_day, array_agg(d.symbol) FILTER (WHERE d.bucket = f.ticks) AS tick_symbols
            FROM days d CROSS JOIN firsts f
        $sql$, (SELECT r.relation FROM candleworks.candle_relations r WHERE r.family = family.name ORDER BY r.width DESC LIMIT 1))
        INTO days USING family.ticks;
        relation := family.ticks;
        rows := days.ticks;
        EXECUTE format(first_of, family.ticks, 'time') INTO oldest
        USING days.tick_day, days.tick_symbols, interval '24 hours';
        RETURN NEXT;
        EXECUTE format(first_of, family.prefix || 'candles_1h', 'bucket') INTO hour
        USING days.candle_day, days.candle_symbols, interval '24 hours';
        EXECUTE format(first_of, family.prefix || 'candles_1m', 'bucket') INTO minute
        USING hour, days.candle_symbols, interval '1 hour';
        RETURN QUERY SELECT r.relation, NULL::bigint, public.time_bucket(r.width, minute)
        FROM candleworks.candle_relations r WHERE r.family = family.name;
    END LOOP;
    oldest := NULL;
    FOR relation IN
        SELECT r.relation FROM dashboards.readable r
        JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(r.relation)) AND c.relkind = 'r'
        WHERE r.relation NOT IN (SELECT f.ticks FROM candleworks.candle_families f) AND pg_relation_size(c.oid) <= 2 * 1024 * 1024
    LOOP
        EXECUTE format('SELECT count(*) FROM public.%I', relation) INTO rows;
        RETURN NEXT;
    END LOOP;
END $$;
