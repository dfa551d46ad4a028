-- Candles that do not match those of the level below.
WITH offending AS (
    SELECT DISTINCT ON (d.symbol, l.width, d.bucket) d.symbol, l.name AS level, l.width, d.bucket, d.stored, d.expected
    FROM jsonb_to_recordset(%(ranges)s) p(symbols text[], start timestamptz, stop timestamptz)
    CROSS JOIN candleworks.candle_levels l
    CROSS JOIN LATERAL candleworks.level_differences(l.name, l.below, p.symbols, p.start, p.stop) d
    WHERE l.below IS NOT NULL
), numbered AS (
    SELECT o.*, row_number() OVER (PARTITION BY o.symbol ORDER BY o.width, o.bucket) AS n FROM offending o
)
SELECT o.symbol AS subject,
    format('%%s not matching the level below (%%s)', candleworks.counted(count(*), 'candle'), string_agg(DISTINCT o.level, ', ')) AS observed,
    'candles that match the level below' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'width' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.bucket, o.bucket + o.width))) AS failing
FROM numbered o GROUP BY o.symbol
