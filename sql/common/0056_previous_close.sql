-- The last price of a symbol before the end of a session: nearly always one of its last half hour.
CREATE FUNCTION dashboards.last_price(symbol text, stop timestamptz) RETURNS double precision
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    found double precision;
BEGIN
    SELECT c.close INTO found FROM public.candles_5m c
    WHERE c.symbol = symbol AND c.bucket >= stop - interval '30 minutes' AND c.bucket < stop
    ORDER BY c.bucket DESC LIMIT 1;
    IF found IS NULL THEN
        SELECT c.close INTO found FROM public.candles_5m c
        WHERE c.symbol = symbol AND c.bucket >= stop - interval '8 hours' AND c.bucket < stop
        ORDER BY c.bucket DESC LIMIT 1;
    END IF;
    IF found IS NULL THEN
        SELECT c.close INTO found FROM public.candles_1d c
        WHERE c.symbol = symbol AND c.bucket >= stop - interval '30 days' AND c.bucket <= stop - interval '24 hours'
        ORDER BY c.bucket DESC LIMIT 1;
    END IF;
    RETURN found;
END $$;

-- As before, but the previous close is sought in the half hour before the end of its session first: eight hours of a continuous
-- aggregate took most of the time, for each symbol. OFFSET 0: each is evaluated once, not wherever it is used.
CREATE OR REPLACE FUNCTION dashboards.prices(moment timestamptz, only_symbol text DEFAULT NULL) RETURNS TABLE (
    symbol text, name text, "time" timestamptz, price double precision, previous_close double precision,
    change double precision, change_percent double precision, high double precision, low double precision,
    volume double precision, vwap double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted text[] := CASE WHEN only_symbol IS NULL THEN ARRAY(
        SELECT DISTINCT d.symbol FROM public.tick_candles_1d d WHERE d.bucket > moment - interval '7 days' AND d.bucket <= moment
    ) ELSE ARRAY[only_symbol] END;
BEGIN
    RETURN QUERY
        SELECT d.symbol, k.name, t.time, t.price, p.close, t.price - p.close,
            100 * (t.price - p.close) / nullif(p.close, 0), d.high, d.low, d.volume, d.vwap, d.ticks
        FROM (
            SELECT DISTINCT ON (symbol) * FROM public.candles_1d
            WHERE bucket > moment - interval '7 days' AND bucket <= moment AND symbol = ANY(wanted)
            ORDER BY symbol, bucket DESC
        ) d
        CROSS JOIN LATERAL (
            SELECT time, price FROM public.stocks_real_time t
            WHERE t.symbol = d.symbol AND t.time >= d.bucket AND t.time <= moment ORDER BY t.time DESC LIMIT 1
        ) t
        CROSS JOIN LATERAL (SELECT candleworks.calendar_of(d.symbol) AS name OFFSET 0) followed
        CROSS JOIN LATERAL (
            SELECT CASE WHEN followed.name = '24/7' THEN public.time_bucket('24 hours', t.time) ELSE (
                SELECT s.close_at FROM candleworks.sessions s
                WHERE s.calendar = followed.name AND s.open_at < t.time AND s.close_at <= t.time
                ORDER BY s.open_at DESC LIMIT 1
            ) END AS stop
            OFFSET 0
        ) e
        CROSS JOIN LATERAL (SELECT dashboards.last_price(d.symbol, e.stop) AS close OFFSET 0) p
        LEFT JOIN public.company k ON k.symbol = d.symbol;
END $$;
