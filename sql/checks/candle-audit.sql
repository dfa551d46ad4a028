-- One-minute candles of a sample of symbols that are not what their ticks say. A minute that is not over for ten seconds
-- is left to the next run, which begins a minute before this one: its ticks still come.
WITH bounds AS (
    SELECT greatest(%(candles_from)s, candleworks.ticks_kept_from('stocks_real_time')) AS start,
        date_trunc('minute', %(until)s::timestamptz - interval '10 seconds', 'UTC') AS stop
), expected AS (
    SELECT t.symbol, date_trunc('minute', t.time, 'UTC') AS bucket, (array_agg(t.price ORDER BY t.time))[1] AS open,
        max(t.price) AS high, min(t.price) AS low, (array_agg(t.price ORDER BY t.time DESC))[1] AS close,
        sum(t.volume) AS volume, count(*) AS ticks
    FROM bounds b JOIN public.stocks_real_time t ON t.time >= b.start AND t.time < b.stop
    WHERE t.symbol = ANY (%(audited)s) GROUP BY 1, 2
), stored AS (
    SELECT c.symbol, c.bucket, c.open, c.high, c.low, c.close, c.volume, c.ticks
    FROM bounds b JOIN public.candles_1m c ON c.bucket >= b.start AND c.bucket < b.stop
    WHERE c.symbol = ANY (%(audited)s)
), offending AS (
    SELECT symbol, bucket, to_jsonb(s) - 'symbol' - 'bucket' AS stored, to_jsonb(e) - 'symbol' - 'bucket' AS expected,
        row_number() OVER (PARTITION BY symbol ORDER BY bucket) AS n
    FROM expected e FULL JOIN stored s USING (symbol, bucket)
    WHERE (s.open, s.high, s.low, s.close, s.ticks) IS DISTINCT FROM (e.open, e.high, e.low, e.close, e.ticks)
        OR candleworks.differ(s.volume, e.volume)
)
SELECT o.symbol AS subject, format('%%s one-minute candles differ from their ticks', count(*)) AS observed,
    'every candle equal to its ticks' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.symbol
