-- The audit: candles as they are read against what their ticks say, and every level against the one below.
-- Locks: none, everything is new.

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
COMMENT ON TABLE public.candle_differences IS 'Every difference that an audit found between a candle and its ticks.';
COMMENT ON COLUMN public.candle_differences.level IS 'Level of the candle: 1m to 1d, or quote 1m to quote 1d.';
COMMENT ON COLUMN public.candle_differences.kind IS
    'wrong: the candle differs; missing: ticks without a candle; surplus: a candle without ticks.';
COMMENT ON COLUMN public.candle_differences.stored IS 'The candle as it was read. Null: missing.';
COMMENT ON COLUMN public.candle_differences.expected IS 'The candle that follows from the ticks. Null: surplus.';
COMMENT ON COLUMN public.candle_differences.repaired_at IS 'Null: not repaired.';

-- Whether two sums differ by more than the order of their additions can explain.
CREATE FUNCTION candleworks.differ(one double precision, other double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN one IS DISTINCT FROM other
    AND (one IS NULL OR other IS NULL OR abs(one - other) > 1e-9 * greatest(abs(one), abs(other)));

-- Compares the candles of one level ('1m', 'quote 1m') whose buckets start in [start, stop), which must be bounds of that
-- level, with the ticks that are still there. Prices and counts have to be equal; sums of volumes and what follows from
-- them may differ in the last digits, because addition of floats depends on order.
CREATE FUNCTION candleworks.audit_level(level text, start timestamptz, stop timestamptz)
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
        WHERE %4$s
        ORDER BY bucket, symbol
    $sql$, expressions, audited.ticks, audited.relation, differences)
    USING audited.width, greatest(start, candleworks.ticks_kept_from(audited.ticks)), stop;
END $$;

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
