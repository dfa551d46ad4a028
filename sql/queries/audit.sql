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

-- name: first_tick
SELECT min(time) FROM public.stocks_real_time

-- name: force_refresh
-- TimescaleDB: computes the bucket of this level that holds a moment anew, whether it is noted as changed or not.
CALL public.refresh_continuous_aggregate(
    %(relation)s::regclass,
    public.time_bucket(%(width)s::interval, %(bucket)s::timestamptz),
    public.time_bucket(%(width)s::interval, %(bucket)s::timestamptz) + %(width)s::interval,
    force => true
)
