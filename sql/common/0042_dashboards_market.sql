-- The comparison of symbols asks for the trading times of each symbol once, and not once for every candle.
-- Locks: none.
CREATE OR REPLACE FUNCTION dashboards.changes(symbols text[], "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    "time" timestamptz, symbol text, change double precision
)
LANGUAGE sql STABLE AS $$
    WITH candle AS (
        SELECT s.symbol, c.bucket, c.bucket + w.width AS stop, lead(c.bucket) OVER same AS next, w.width,
            100 * (c.close / nullif(first_value(c.open) OVER same, 0) - 1) AS change
        FROM dashboards.drawn_width('auto', "from", "to") w(width)
        CROSS JOIN unnest(symbols) s(symbol)
        CROSS JOIN LATERAL public.ohlc(s.symbol, w.width, "from", "to") c(bucket)
        WINDOW same AS (PARTITION BY s.symbol ORDER BY c.bucket)
    ), times AS MATERIALIZED (
        SELECT s.symbol, t.* FROM unnest(symbols) s(symbol) CROSS JOIN LATERAL dashboards.trading_times(s.symbol, "from", "to") t
    )
    SELECT c.bucket, c.symbol, c.change FROM candle c
    UNION ALL
    SELECT c.stop, c.symbol, NULL
    FROM candle c JOIN times t ON t.symbol = c.symbol
    WHERE c.width < interval '24 hours' AND c.next > c.stop
        AND dashboards.interrupted(tstzrange(c.stop, c.next), t.open_times, t.down_times, t.zone)
    ORDER BY 1, 2
$$;
