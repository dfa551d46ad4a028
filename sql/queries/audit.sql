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

-- name: retention_horizon
SELECT dropped_before FROM candleworks.retention_horizons WHERE relation = %(relation)s

-- name: audit_days_postgres
-- The UTC days that may have ticks, by the partitions there are, or have candles; not those whose ticks were dropped.
SELECT DISTINCT d.day
FROM candleworks.candle_families f
CROSS JOIN LATERAL (
    SELECT generate_series(p.start, p.start + interval '144 hours', interval '24 hours') AS day
    FROM (
        SELECT to_date(right(t.relid::regclass::text, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS start
        FROM pg_partition_tree(('public.' || f.ticks)::regclass) t WHERE t.isleaf AND t.level > 0
    ) p
    UNION ALL SELECT bucket FROM public.tick_candles_1d WHERE f.name = 'trade'
    UNION ALL SELECT bucket FROM public.quote_candles_1d WHERE f.name = 'quote'
) d
WHERE d.day >= %(start)s AND d.day < %(stop)s AND d.day >= candleworks.ticks_kept_from(f.ticks)
ORDER BY d.day

-- name: audit_days_timescale
-- The UTC days that may have ticks, by the chunks there are, or have candles; not those whose ticks were dropped.
SELECT DISTINCT d.day
FROM candleworks.candle_families f
CROSS JOIN LATERAL (
    SELECT generate_series(
        date_trunc('day', c.range_start, 'UTC'), c.range_end - interval '1 microsecond', interval '24 hours'
    ) AS day
    FROM timescaledb_information.chunks c
    WHERE c.hypertable_schema = 'public' AND c.hypertable_name = f.ticks
    UNION ALL SELECT bucket FROM public.tick_candles_1d WHERE f.name = 'trade'
    UNION ALL SELECT bucket FROM public.quote_candles_1d WHERE f.name = 'quote'
) d
WHERE d.day >= %(start)s AND d.day < %(stop)s AND d.day >= candleworks.ticks_kept_from(f.ticks)
ORDER BY d.day
