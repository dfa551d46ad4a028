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

-- Whether two sums differ by more than the order of their additions can explain.
CREATE FUNCTION candleworks.differ(one double precision, other double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN one IS DISTINCT FROM other
    AND (one IS NULL OR other IS NULL OR abs(one - other) > 1e-9 * greatest(abs(one), abs(other)));

-- The moment from which the ticks of a table are all there; what is older is left alone.
CREATE FUNCTION candleworks.ticks_kept_from(ticks text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(h.dropped_before), '-infinity') FROM candleworks.retention_horizons h WHERE h.relation = ticks
$$;

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
