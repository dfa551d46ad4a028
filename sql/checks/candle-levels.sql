-- Candles that do not follow from those of the level below, among the symbols with new ticks.
WITH offending AS (
    SELECT d.symbol, l.name AS level, d.bucket, d.stored, d.expected,
        row_number() OVER (PARTITION BY d.symbol ORDER BY l.width, d.bucket) AS n
    FROM candleworks.candle_levels l
    CROSS JOIN LATERAL candleworks.level_differences(l.name, l.below, %(symbols)s, %(candles_from)s, %(until)s) d
    WHERE l.below IS NOT NULL
)
SELECT o.symbol AS subject,
    format('%%s candles differ from the level below (%%s)', count(*), string_agg(DISTINCT o.level, ', ')) AS observed,
    'every candle made of those of the level below' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.symbol
