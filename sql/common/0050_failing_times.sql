-- What failed is looked at again: results of checks name the times at which rows are wrong, and checks read these besides
-- what is new.
-- Locks: ACCESS EXCLUSIVE on quality_results for a moment; nothing is rewritten.

-- The times of the rows that failed, of ticks or of buckets; null where a check does not judge stored rows.
ALTER TABLE public.quality_results ADD COLUMN failing tstzmultirange;

-- The same times, or the whole UTC days around them where they are in more than 200 pieces.
CREATE FUNCTION candleworks.failing_times(times tstzmultirange) RETURNS tstzmultirange
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN count(*) <= 200 THEN times ELSE range_agg(tstzrange(
        date_trunc('day', lower(r), 'UTC'), date_trunc('day', upper(r) - interval '1 microsecond', 'UTC') + interval '24 hours'
    )) END
    FROM unnest(times) r
$$;

-- The ticks of a check's window, as new_ticks() returns them, and those of the given times of symbols, an array of
-- {symbol, start, stop}. OFFSET keeps these one look into the index each: a join was planned to read the history.
CREATE FUNCTION candleworks.checked_ticks(
    received_from timestamptz, received_until timestamptz, time_from timestamptz, again jsonb
) RETURNS SETOF public.stocks_real_time
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.stocks_real_time t
    WHERE t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from
    UNION ALL
    SELECT t.*
    FROM jsonb_to_recordset(again) a(symbol text, start timestamptz, stop timestamptz)
    CROSS JOIN LATERAL (
        SELECT * FROM public.stocks_real_time t
        WHERE t.symbol = a.symbol AND t.time >= a.start AND t.time < a.stop OFFSET 0
    ) t
    WHERE (t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from) IS NOT TRUE
$$;

-- One-minute candles of symbols, their buckets starting in [start, stop), that are not what their ticks say; of the time
-- for which ticks are kept.
CREATE FUNCTION candleworks.minute_differences(symbols text[], start timestamptz, stop timestamptz)
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
        WHERE (s.open, s.high, s.low, s.close, s.ticks) IS DISTINCT FROM (e.open, e.high, e.low, e.close, e.ticks)
            OR candleworks.differ(s.volume, e.volume)
    $sql$ USING symbols, date_trunc('minute', greatest(start, candleworks.ticks_kept_from('stocks_real_time')), 'UTC'), stop;
END $$;
