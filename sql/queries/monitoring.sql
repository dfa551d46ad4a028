-- What `status` and /metrics show. Nothing here scans ticks: a symbol's last tick is one index entry.

-- name: feed_states
-- Every feed that was ever seen: totals, its newest ten seconds, the lag of the last half minute that had ticks, its
-- unfilled gaps and how many of its symbols are refused.
SELECT
    f.feed, t.since, coalesce(t.ticks, 0) AS ticks, coalesce(t.batches, 0) AS batches,
    coalesce(t.reconnects, 0) AS reconnects, coalesce(t.duplicates, 0) AS duplicates,
    coalesce(t.rejected, 0) AS rejected, coalesce(t.candles, 0) AS candles, coalesce(t.quotes, 0) AS quotes,
    coalesce(t.duplicate_quotes, 0) AS duplicate_quotes, coalesce(t.rejected_quotes, 0) AS rejected_quotes,
    greatest(0, extract(epoch FROM now() - s.at))::double precision AS report_age_seconds, s.spool_depth,
    l.lag_ms_p50, l.lag_ms_p99, coalesce(g.open, 0) AS gaps_open, coalesce(g.unfilled, 0) AS gaps_unfilled,
    p.stopped_at, p.reason AS stop_reason, m.memory_bytes
FROM (
    SELECT feed FROM candleworks.ingest_totals
    UNION SELECT feed FROM public.feed_symbols
    UNION SELECT feed FROM public.feed_gaps WHERE filled_at IS NULL
) f
LEFT JOIN candleworks.ingest_totals t ON t.feed = f.feed
LEFT JOIN LATERAL (
    SELECT s.at, s.spool_depth FROM public.ingest_stats s WHERE s.feed = f.feed ORDER BY s.at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT l.lag_ms_p50, l.lag_ms_p99 FROM public.ingest_stats l
    WHERE l.feed = f.feed AND l.at > now() - interval '30 seconds' AND l.lag_ms_p50 IS NOT NULL
    ORDER BY l.at DESC LIMIT 1
) l ON true
LEFT JOIN (
    SELECT feed, count(*) FILTER (WHERE ended_at IS NULL) AS open,
        count(*) FILTER (WHERE ended_at IS NOT NULL) AS unfilled
    FROM public.feed_gaps WHERE filled_at IS NULL GROUP BY feed
) g ON g.feed = f.feed
LEFT JOIN public.feed_stops p ON p.feed = f.feed AND p.deliberate
LEFT JOIN LATERAL (
    SELECT m.memory_bytes FROM dashboards.process_samples m
    WHERE m.feed = f.feed AND m.at > now() - interval '2 minutes' ORDER BY m.at DESC LIMIT 1
) m ON true
ORDER BY f.feed

-- name: refused_symbols
SELECT feed, symbol, reason, since FROM public.feed_symbols WHERE status = 'refused' ORDER BY feed, symbol

-- name: symbol_states
-- The last tick of every symbol with a candle in the last 30 days, and of those that a feed streams or is asked to, if
-- they ever had one.
WITH recent AS (
    SELECT symbol, max(bucket) AS day FROM public.tick_candles_1d WHERE bucket > now() - interval '30 days' GROUP BY symbol
), asked AS (
    SELECT DISTINCT symbol FROM public.feed_symbols WHERE status <> 'removed'
), known AS (
    SELECT symbol, day FROM recent
    UNION ALL
    SELECT a.symbol, (SELECT max(bucket) FROM public.tick_candles_1d c WHERE c.symbol = a.symbol)
    FROM asked a WHERE NOT EXISTS (SELECT FROM recent r WHERE r.symbol = a.symbol)
)
SELECT symbol, last_tick, greatest(0, extract(epoch FROM now() - last_tick))::double precision AS age_seconds
FROM (
    SELECT k.symbol, coalesce(
        (SELECT t.time FROM public.stocks_real_time t
         WHERE t.symbol = k.symbol AND t.time >= k.day ORDER BY t.time DESC LIMIT 1),
        (SELECT max(m.bucket) FROM public.candles_1m m
         WHERE m.symbol = k.symbol AND m.bucket >= k.day AND m.bucket < k.day + interval '1 day')
    ) AS last_tick
    FROM known k WHERE k.day IS NOT NULL
) s
ORDER BY symbol

-- name: database_state
SELECT now() AS moment, pg_database_size(current_database()) AS bytes
