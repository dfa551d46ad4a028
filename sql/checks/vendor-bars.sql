-- One-minute candles of sampled symbols that differ more than allowed from the vendor's bars, given as rows of
-- (symbol, bucket, open, high, low, close). Rebuilt candles are made of these bars and are not compared.
WITH offending AS (
    SELECT c.symbol, c.bucket, to_jsonb(v) - 'symbol' - 'bucket' AS vendor,
        jsonb_build_object('open', c.open, 'high', c.high, 'low', c.low, 'close', c.close) AS stored,
        l.bar_tolerance_percent, d.percent, row_number() OVER (PARTITION BY c.symbol ORDER BY d.percent DESC) AS n
    FROM jsonb_to_recordset(%(bars)s) v(
        symbol text, bucket timestamptz, open double precision, high double precision, low double precision,
        close double precision
    )
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, bar_tolerance_percent double precision) ON l.symbol = v.symbol
    JOIN public.candles_1m c ON c.symbol = v.symbol AND c.bucket = v.bucket AND NOT c.rebuilt
    CROSS JOIN LATERAL (
        SELECT 100 * greatest(
            abs(c.high / nullif(v.high, 0) - 1), abs(c.low / nullif(v.low, 0) - 1), abs(c.close / nullif(v.close, 0) - 1)
        ) AS percent
    ) d
    WHERE d.percent > l.bar_tolerance_percent
)
SELECT o.symbol AS subject,
    format('%%s differing from the vendor''s bars by up to %%s %%%%', candleworks.counted(count(*), 'candle'), to_char(max(o.percent), 'FM999990.00')) AS observed,
    format('within %%s %%%%', min(o.bar_tolerance_percent)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'bar_tolerance_percent' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.bucket, o.bucket + interval '1 minute'))) AS failing
FROM offending o GROUP BY o.symbol
