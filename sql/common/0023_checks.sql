-- What the checks of sql/checks/ share.
-- Locks: none, everything is new.

-- The ticks of a check's window: by arrival, found by the block-range index, and by time, which leaves out partitions.
-- Plain SQL, so that the planner puts it in place of its call and sees the bounds.
CREATE FUNCTION candleworks.new_ticks(
    received_from timestamptz, received_until timestamptz, time_from timestamptz
) RETURNS SETOF public.stocks_real_time
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.stocks_real_time t
    WHERE t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from
$$;

CREATE FUNCTION candleworks.new_quotes(
    received_from timestamptz, received_until timestamptz, time_from timestamptz
) RETURNS SETOF public.quotes
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.quotes q
    WHERE q.received_at >= received_from AND q.received_at < received_until AND q.time >= time_from
$$;

-- For how many seconds of [start, stop) a calendar was open.
CREATE FUNCTION candleworks.open_seconds(wanted text, start timestamptz, stop timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(sum(extract(epoch FROM upper(r.part) - lower(r.part))), 0)::double precision
    FROM unnest(CASE WHEN start < stop THEN
        candleworks.open_times(wanted, start, stop) * tstzmultirange(tstzrange(start, stop))
    END) r(part)
$$;

-- Every symbol that some feed streams or should, and since when at the longest.
CREATE FUNCTION candleworks.subscribed_symbols() RETURNS TABLE (symbol text, since timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT s.symbol, min(s.since) FROM public.feed_symbols s WHERE s.status IN ('asked', 'streaming') GROUP BY s.symbol
$$;

-- The newest tick or quote of a symbol up to a moment; null where there is none.
CREATE FUNCTION candleworks.last_seen(wanted text, until timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        (SELECT t.time FROM public.stocks_real_time t WHERE t.symbol = wanted AND t.time <= until ORDER BY t.time DESC LIMIT 1),
        (SELECT q.time FROM public.quotes q WHERE q.symbol = wanted AND q.time <= until ORDER BY q.time DESC LIMIT 1)
    )
$$;

-- Candles of a level, their buckets starting in [start, stop), that do not follow from those of the level below.
CREATE FUNCTION candleworks.level_differences(
    level text, below text, symbols text[], start timestamptz, stop timestamptz
) RETURNS TABLE (symbol text, bucket timestamptz, stored jsonb, expected jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    width interval := (SELECT l.width FROM candleworks.candle_levels l WHERE l.name = level);
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH stored AS (
            SELECT c.bucket, c.symbol, c.open, c.high, c.low, c.close, c.volume, c.ticks FROM public.%1$I c
            WHERE c.symbol = ANY ($1) AND c.bucket >= $2 AND c.bucket < $3
        ), expected AS (
            SELECT public.time_bucket($4, b.bucket) AS bucket, b.symbol, (array_agg(b.open ORDER BY b.bucket))[1] AS open,
                max(b.high) AS high, min(b.low) AS low, (array_agg(b.close ORDER BY b.bucket DESC))[1] AS close,
                sum(b.volume) AS volume, sum(b.ticks)::bigint AS ticks
            FROM public.%2$I b
            WHERE b.symbol = ANY ($1) AND b.bucket >= $2 AND b.bucket < $3 GROUP BY 1, 2
        )
        SELECT symbol, bucket, to_jsonb(s) - 'symbol' - 'bucket', to_jsonb(e) - 'symbol' - 'bucket'
        FROM stored s FULL JOIN expected e USING (symbol, bucket)
        WHERE (s.open, s.high, s.low, s.close, s.ticks) IS DISTINCT FROM (e.open, e.high, e.low, e.close, e.ticks)
            OR candleworks.differ(s.volume, e.volume)
        ORDER BY bucket, symbol
    $sql$, 'candles_' || level, 'candles_' || below)
    USING symbols, public.time_bucket(width, start), public.time_bucket(width, stop - interval '1 microsecond') + width, width;
END $$;
