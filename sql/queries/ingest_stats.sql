-- name: save_ingest_stats
-- The setting names the process that writes to the trigger of the totals.
WITH named AS (SELECT set_config('candleworks.run', %(run)s, true))
INSERT INTO public.ingest_stats (
    feed, at, ticks, batches, lag_ms_p50, lag_ms_p99, lag_ms_max, spool_depth, reconnects, duplicates, rejected,
    candles, quotes, duplicate_quotes, rejected_quotes
)
SELECT
    %(feed)s, %(at)s::timestamptz, %(ticks)s, %(batches)s, %(lag_ms_p50)s::double precision, %(lag_ms_p99)s::double precision,
    %(lag_ms_max)s::double precision, %(spool_depth)s, %(reconnects)s, %(duplicates)s, %(rejected)s, %(candles)s,
    %(quotes)s, %(duplicate_quotes)s, %(rejected_quotes)s
FROM named
ON CONFLICT (feed, at) DO UPDATE SET
    ticks = excluded.ticks, batches = excluded.batches, lag_ms_p50 = excluded.lag_ms_p50,
    lag_ms_p99 = excluded.lag_ms_p99, lag_ms_max = excluded.lag_ms_max, spool_depth = excluded.spool_depth,
    reconnects = excluded.reconnects, duplicates = excluded.duplicates, rejected = excluded.rejected,
    candles = excluded.candles, quotes = excluded.quotes, duplicate_quotes = excluded.duplicate_quotes,
    rejected_quotes = excluded.rejected_quotes

-- name: platform_status
-- One row; counts of ticks and candles are sums over the daily candles, so nothing scans ticks.
SELECT
    current_setting('server_version') AS server_version,
    (SELECT coalesce(sum(ticks), 0)::bigint FROM public.tick_candles_1d) AS ticks_stored,
    (SELECT max(bucket) FROM public.candles_1m WHERE bucket > now() - interval '1 day') AS newest_candle,
    (
        SELECT coalesce(sum(candles), 0)::bigint FROM public.ingest_stats WHERE at > now() - interval '1 minute'
    ) AS candles_refreshed,
    (SELECT count(*) FROM public.rejected_ticks) AS rejected_ticks,
    pg_database_size(current_database()) AS database_bytes

-- name: feed_status
-- The newest ten seconds of each given feed, how many ticks came in the ten before, and the newest tick of its symbols;
-- feeds and symbols are pairs.
SELECT s.feed, s.at, s.ticks, s.batches, s.lag_ms_p50, s.lag_ms_p99, s.lag_ms_max, s.spool_depth, s.reconnects,
    s.duplicates, s.rejected, s.candles, s.quotes, s.duplicate_quotes, s.rejected_quotes, extract(epoch FROM now() - s.at)::double precision AS age_seconds,
    coalesce((
        SELECT b.ticks FROM public.ingest_stats b WHERE b.feed = s.feed AND b.at = s.at - interval '10 seconds'
    ), 0) AS ticks_before,
    t.symbol AS last_symbol, t.time AS last_time, t.price AS last_price
FROM (SELECT DISTINCT feed FROM unnest(%(feeds)s::text[]) f(feed)) f
CROSS JOIN LATERAL (
    SELECT * FROM public.ingest_stats s WHERE s.feed = f.feed ORDER BY s.at DESC LIMIT 1
) s
LEFT JOIN LATERAL (
    SELECT t.* FROM unnest(%(feeds)s::text[], %(symbols)s::text[]) m(feed, symbol)
    CROSS JOIN LATERAL (
        SELECT symbol, time, price FROM public.stocks_real_time t
        WHERE t.symbol = m.symbol ORDER BY t.time DESC LIMIT 1
    ) t
    WHERE m.feed = f.feed ORDER BY t.time DESC LIMIT 1
) t ON true
ORDER BY s.feed
