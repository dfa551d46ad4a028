-- name: audit_level
SELECT symbol, bucket, kind, stored, expected FROM candleworks.audit_level(%(level)s, %(start)s, %(stop)s)

-- name: save_difference
INSERT INTO public.candle_differences (found_at, level, symbol, bucket, kind, stored, expected, repaired_at)
VALUES (
    %(found_at)s, %(level)s, %(symbol)s, %(bucket)s, %(kind)s, %(stored)s, %(expected)s, %(repaired_at)s
)

-- name: note_minute
-- Plain PostgreSQL: has the candles above a minute computed again by the next refresh.
INSERT INTO candleworks.candle_invalidations (symbol, bucket) VALUES (%(symbol)s, %(bucket)s)

-- name: candle_levels
SELECT name, width FROM candleworks.candle_levels ORDER BY width

-- name: retention_horizon
SELECT dropped_before FROM candleworks.retention_horizons WHERE relation = %(relation)s

-- name: audit_days_postgres
-- The UTC days that may have ticks, by the partitions there are, or have candles.
SELECT day FROM (
    SELECT generate_series(p.start, p.start + interval '6 days', interval '1 day') AS day
    FROM (
        SELECT to_date(right(t.relid::regclass::text, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS start
        FROM pg_partition_tree('public.stocks_real_time') t WHERE t.isleaf AND t.level > 0
    ) p
    UNION
    SELECT bucket FROM public.candles_1d
) d
WHERE day >= %(start)s AND day < %(stop)s ORDER BY day

-- name: audit_days_timescale
-- The UTC days that may have ticks, by the chunks there are, or have candles.
SELECT day FROM (
    SELECT generate_series(
        date_trunc('day', range_start), range_end - interval '1 microsecond', interval '1 day'
    ) AS day
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'stocks_real_time'
    UNION
    SELECT bucket FROM public.candles_1d
) d
WHERE day >= %(start)s AND day < %(stop)s ORDER BY day
