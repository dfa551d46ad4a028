-- The audit: candles as they are read against what their ticks say.
-- Locks: none, everything is new.

-- Every difference that an audit found. wrong: the candle differs; missing: ticks without a candle; surplus: a candle
-- without ticks.
CREATE TABLE public.candle_differences (
    found_at timestamptz NOT NULL,
    level text NOT NULL,
    symbol text NOT NULL,
    bucket timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('wrong', 'missing', 'surplus')),
    stored jsonb,
    expected jsonb,
    repaired_at timestamptz
);
CREATE INDEX candle_differences_found_at ON public.candle_differences (found_at);

-- Compares the candles of one level whose buckets start in [start, stop), which must be bounds of that level. Prices and
-- counts have to be equal; sums of volumes may differ in the last digits, because addition of floats depends on order.
CREATE FUNCTION candleworks.audit_level(level text, start timestamptz, stop timestamptz)
RETURNS TABLE (symbol text, bucket timestamptz, kind text, stored jsonb, expected jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    width interval := (SELECT l.width FROM candleworks.candle_levels l WHERE l.name = level);
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH expected AS (
            SELECT
                public.time_bucket($1, t.time) AS bucket,
                t.symbol,
                (array_agg(t.price ORDER BY t.time))[1] AS open,
                max(t.price) AS high,
                min(t.price) AS low,
                (array_agg(t.price ORDER BY t.time))[count(*)] AS close,
                sum(t.volume) AS volume,
                sum(t.price * t.volume) / nullif(sum(t.volume), 0) AS vwap,
                (array_agg(t.day_volume ORDER BY t.time) FILTER (WHERE t.day_volume IS NOT NULL))
                    [count(t.day_volume)] AS day_volume,
                count(*) AS ticks,
                bool_or(t.origin = 'bar') AS rebuilt
            FROM public.stocks_real_time t
            WHERE t.time >= $2 AND t.time < $3
            GROUP BY 1, 2
        ), stored AS (
            SELECT c.* FROM public.%1$I c WHERE c.bucket >= $2 AND c.bucket < $3
        )
        SELECT symbol, bucket,
            CASE WHEN s.ticks IS NULL THEN 'missing' WHEN e.ticks IS NULL THEN 'surplus' ELSE 'wrong' END,
            CASE WHEN s.ticks IS NOT NULL THEN to_jsonb(s) - 'symbol' - 'bucket' END,
            CASE WHEN e.ticks IS NOT NULL THEN to_jsonb(e) - 'symbol' - 'bucket' END
        FROM expected e FULL JOIN stored s USING (symbol, bucket)
        WHERE (e.open, e.high, e.low, e.close, e.day_volume, e.ticks, e.rebuilt)
                IS DISTINCT FROM (s.open, s.high, s.low, s.close, s.day_volume, s.ticks, s.rebuilt)
            OR candleworks.differ(e.volume, s.volume)
            OR candleworks.differ(e.vwap, s.vwap)
        ORDER BY bucket, symbol
    $sql$, 'candles_' || level) USING width, start, stop;
END $$;

-- Whether two sums differ by more than the order of their additions can explain.
CREATE FUNCTION candleworks.differ(one double precision, other double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN one IS DISTINCT FROM other
    AND (one IS NULL OR other IS NULL OR abs(one - other) > 1e-9 * greatest(abs(one), abs(other)));
