-- One-minute candles that are not what their ticks say. A minute that is not over for ten seconds is left to the next run,
-- which begins a minute before this one: its ticks still come.
WITH offending AS (
    SELECT DISTINCT ON (d.symbol, d.bucket) d.symbol, d.bucket, d.stored, d.expected
    FROM jsonb_to_recordset(%(pieces)s) p(symbols text[], start timestamptz, stop timestamptz)
    CROSS JOIN LATERAL candleworks.minute_differences(
        p.symbols, p.start, least(p.stop, date_trunc('minute', %(until)s::timestamptz - interval '10 seconds', 'UTC'))
    ) d
), numbered AS (
    SELECT o.*, row_number() OVER (PARTITION BY o.symbol ORDER BY o.bucket) AS n FROM offending o
)
SELECT o.symbol AS subject, format('%%s in disagreement with the ticks', candleworks.counted(count(*), 'one-minute candle')) AS observed,
    'every candle equal to its ticks' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.bucket, o.bucket + interval '1 minute'))) AS failing
FROM numbered o GROUP BY o.symbol
