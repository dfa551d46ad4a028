-- One-minute candles that do not match their ticks. A minute is judged ten seconds after its end, when its ticks have arrived;
-- the next run begins a minute before the end of this one.
WITH offending AS (
    SELECT DISTINCT ON (d.symbol, d.bucket) d.symbol, d.bucket, d.stored, d.expected
    FROM jsonb_to_recordset(%(ranges)s) p(symbols text[], start timestamptz, stop timestamptz)
    CROSS JOIN LATERAL candleworks.minute_differences(
        p.symbols, p.start, least(p.stop, date_trunc('minute', %(until)s::timestamptz - interval '10 seconds', 'UTC'))
    ) d
), numbered AS (
    SELECT o.*, row_number() OVER (PARTITION BY o.symbol ORDER BY o.bucket) AS n FROM offending o
)
SELECT o.symbol AS subject, format('%%s not matching the ticks', candleworks.counted(count(*), 'one-minute candle')) AS observed,
    'candles that match their ticks' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.bucket, o.bucket + interval '1 minute'))) AS failing
FROM numbered o GROUP BY o.symbol
