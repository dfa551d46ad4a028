-- name: relation_sizes_postgres
-- Bytes of each public relation, indexes and partitions included; there is no compression.
SELECT r.name, (
    SELECT coalesce(sum(pg_total_relation_size(t.relid)), pg_total_relation_size(r.stored::regclass))::bigint
    FROM pg_partition_tree(r.stored::regclass) t
) AS bytes, NULL::bigint AS bytes_before_compression, NULL::bigint AS bytes_after_compression
FROM (
    SELECT name, 'public.' || name AS stored FROM unnest(%(tables)s::text[]) name
    UNION ALL
    SELECT relation, stored FROM candleworks.candle_relations
) r
WHERE to_regclass(r.stored) IS NOT NULL

-- name: relation_sizes_timescale
-- Bytes of each public relation, indexes and chunks included, and what compression made of the compressed part.
SELECT r.name,
    CASE WHEN r.chunked THEN public.hypertable_size(r.relation) ELSE pg_total_relation_size(r.relation) END,
    s.before_compression_total_bytes, s.after_compression_total_bytes
FROM (
    SELECT name, ('public.' || name)::regclass AS relation,
        EXISTS (
            SELECT FROM timescaledb_information.hypertables h
            WHERE h.hypertable_schema = 'public' AND h.hypertable_name = name
        ) AS chunked
    FROM unnest(%(tables)s::text[]) name WHERE to_regclass('public.' || name) IS NOT NULL
    UNION ALL
    SELECT view_name, format('%%I.%%I', view_schema, view_name)::regclass, true
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public'
) r
LEFT JOIN LATERAL public.hypertable_columnstore_stats(r.relation) s ON r.chunked

-- name: count_pending_minutes
-- Minutes whose candles are due for a refresh.
SELECT (
    SELECT count(*) FROM (SELECT DISTINCT symbol, bucket FROM candleworks.candle_invalidations) i
) + (
    SELECT count(*) FROM (SELECT DISTINCT symbol, bucket FROM candleworks.quote_candle_invalidations) i
)

-- name: count_pending_notes
-- The same at most: a minute that was noted twice counts twice. To tell them apart takes minutes after a large import, whose notes
-- have no statistics yet.
SELECT (SELECT count(*) FROM candleworks.candle_invalidations) + (SELECT count(*) FROM candleworks.quote_candle_invalidations)

-- name: due_since
-- Since when the first complete bucket at or after a watermark, one that has ticks, could have been stored: its end, or the
-- arrival of its first tick. Null where every complete bucket is stored. Symbols come from the daily candles, because there
-- is no index by time alone.
SELECT min(greatest(public.time_bucket(%(width)s::interval, t.time) + %(width)s::interval, t.received_at))
FROM (
    SELECT DISTINCT c.symbol FROM public.tick_candles_1d c
    WHERE public.time_bucket(%(width)s::interval, %(until)s::timestamptz) > %(watermark)s
        AND c.bucket >= public.time_bucket('24 hours', %(watermark)s::timestamptz) AND c.bucket < %(until)s
) c
CROSS JOIN LATERAL (
    SELECT t.time, t.received_at FROM public.stocks_real_time t
    WHERE t.symbol = c.symbol AND t.time >= %(watermark)s
        AND t.time < public.time_bucket(%(width)s::interval, %(until)s::timestamptz)
    ORDER BY t.time LIMIT 1
) t

-- name: newest_stored_bucket
-- Of one level up to a moment, whose table stands for {stored}: max(bucket) would read all of it.
SELECT max(newest.bucket)
FROM candleworks.stored_1d d
CROSS JOIN LATERAL (
    SELECT s.bucket FROM {stored} s WHERE s.symbol = d.symbol AND s.bucket <= %(until)s ORDER BY s.bucket DESC LIMIT 1
) newest
WHERE d.bucket = (SELECT max(bucket) FROM candleworks.stored_1d WHERE bucket <= %(until)s)
