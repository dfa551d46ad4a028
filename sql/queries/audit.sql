-- name: audit_level
SELECT symbol, bucket, kind, stored, expected FROM candleworks.audit_level(%(level)s, %(start)s, %(stop)s)

-- name: save_difference
INSERT INTO public.candle_differences (found_at, level, symbol, bucket, kind, stored, expected, repaired_at)
VALUES (
    %(found_at)s, %(level)s, %(symbol)s, %(bucket)s, %(kind)s, %(stored)s, %(expected)s, %(repaired_at)s
)

-- name: audited_levels
-- Label and relation of every level of candles, narrowest first, with its width, and the prefix and the ticks of its kind.
SELECT r.label, r.relation, r.width, f.prefix, f.ticks
FROM candleworks.candle_relations r JOIN candleworks.candle_families f ON f.name = r.family
ORDER BY r.width, r.label

-- name: candle_levels
SELECT name, width FROM candleworks.candle_levels ORDER BY width

-- name: record_tick_parts
SELECT candleworks.record_tick_parts()

-- name: dropped_until
-- The end of the newest ticks of a table between two times that were dropped; a null end is open.
SELECT upper(d) FROM unnest(candleworks.dropped_times(%(relation)s)) d
WHERE d && tstzrange(%(first)s::timestamptz, %(last)s::timestamptz, '[]')
ORDER BY 1 DESC LIMIT 1

-- name: has_ticks
-- Whether ticks of [start, stop) are stored.
SELECT EXISTS (SELECT FROM {ticks} WHERE time >= %(start)s AND time < %(stop)s)

-- name: audit_days
-- The UTC days that may have ticks, by the chunks or partitions there are, or have candles; not those whose ticks were dropped.
-- has_candles: a daily candle of trades or quotes.
WITH family AS MATERIALIZED (
    SELECT f.name, f.ticks, candleworks.dropped_times(f.ticks) AS dropped FROM candleworks.candle_families f
)
SELECT d.day, bool_or(d.has_candles)
FROM family f
CROSS JOIN LATERAL (
    SELECT generate_series(
        date_trunc('day', greatest(p.starts_at, %(start)s), 'UTC'),
        least(p.stops_at, %(stop)s::timestamptz) - interval '1 microsecond', interval '24 hours'
    ) AS day, false AS has_candles
    FROM candleworks.attached_parts() p WHERE p.relation = f.ticks AND p.used
    UNION ALL SELECT bucket, true FROM public.tick_candles_1d WHERE f.name = 'trade'
    UNION ALL SELECT bucket, true FROM public.quote_candles_1d WHERE f.name = 'quote'
) d
WHERE d.day >= %(start)s AND d.day < %(stop)s AND NOT f.dropped @> tstzrange(d.day, d.day + interval '24 hours')
GROUP BY d.day ORDER BY d.day
