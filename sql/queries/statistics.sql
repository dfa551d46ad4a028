-- name: save_ingest_stats
INSERT INTO public.ingest_stats (
    feed, at, ticks, batches, lag_ms_p50, lag_ms_p99, lag_ms_max, spool_depth, reconnects, duplicates, rejected
) VALUES (
    %(feed)s, %(at)s, %(ticks)s, %(batches)s, %(lag_ms_p50)s, %(lag_ms_p99)s, %(lag_ms_max)s, %(spool_depth)s,
    %(reconnects)s, %(duplicates)s, %(rejected)s
)
ON CONFLICT (feed, at) DO UPDATE SET
    ticks = excluded.ticks, batches = excluded.batches, lag_ms_p50 = excluded.lag_ms_p50,
    lag_ms_p99 = excluded.lag_ms_p99, lag_ms_max = excluded.lag_ms_max, spool_depth = excluded.spool_depth,
    reconnects = excluded.reconnects, duplicates = excluded.duplicates, rejected = excluded.rejected

-- name: platform_status
-- One row; counts of ticks and candles are sums over the daily candles, so nothing scans ticks.
SELECT
    current_setting('server_version') AS server_version,
    (SELECT coalesce(sum(ticks), 0)::bigint FROM public.candles_1d) AS ticks_stored,
    (SELECT max(bucket) FROM public.candles_1m WHERE bucket > now() - interval '1 day') AS newest_candle,
    (SELECT count(*) FROM public.rejected_ticks) AS rejected_ticks,
    pg_database_size(current_database()) AS database_bytes

-- name: feed_status
-- The newest ten seconds of every feed.
SELECT s.feed, s.at, s.ticks, s.batches, s.lag_ms_p50, s.lag_ms_p99, s.lag_ms_max, s.spool_depth, s.reconnects,
    s.duplicates, s.rejected, extract(epoch FROM now() - s.at)::double precision AS age_seconds
FROM (SELECT DISTINCT feed FROM public.ingest_stats WHERE at > now() - interval '1 day') f
CROSS JOIN LATERAL (
    SELECT * FROM public.ingest_stats s WHERE s.feed = f.feed ORDER BY s.at DESC LIMIT 1
) s
ORDER BY s.feed
