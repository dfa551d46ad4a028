-- Relations that hold rows two days (ticks: a chunk or partition and two days) longer than the configuration says:
-- `candleworks maintain` does not run, or fails.
WITH kept AS (
    SELECT k.relation, k.days, %(until)s::timestamptz - (k.days + 2) * interval '24 hours' AS limit_at,
        %(until)s::timestamptz - (k.days + 2 + %(chunk_days)s) * interval '24 hours' AS chunk_limit_at
    FROM jsonb_to_recordset(%(retention)s) k(relation text, days integer)
), oldest AS (
    SELECT k.relation, k.days, CASE k.relation
        WHEN 'stocks_real_time' THEN (SELECT t.time FROM public.stocks_real_time t WHERE t.time < k.chunk_limit_at LIMIT 1)
        WHEN 'quotes' THEN (SELECT q.time FROM public.quotes q WHERE q.time < k.chunk_limit_at LIMIT 1)
        WHEN 'rejected_ticks' THEN (
            SELECT r.received_at FROM public.rejected_ticks r WHERE r.received_at < k.limit_at ORDER BY 1 LIMIT 1)
        WHEN 'ingest_stats' THEN (SELECT s.at FROM public.ingest_stats s WHERE s.at < k.limit_at LIMIT 1)
        WHEN 'quality_results' THEN (SELECT r.at FROM public.quality_results r WHERE r.at < k.limit_at ORDER BY 1 LIMIT 1)
        WHEN 'alerts' THEN (
            SELECT a.resolved_at FROM public.alerts a
            WHERE a.resolved_at < k.limit_at AND (a.silenced_until IS NULL OR a.silenced_until < k.limit_at) LIMIT 1)
        WHEN 'feed_gaps' THEN (
            SELECT g.ended_at FROM public.feed_gaps g WHERE g.started_at < k.limit_at AND g.ended_at < k.limit_at LIMIT 1)
    END AS moment
    FROM kept k
)
SELECT o.relation AS subject, format('oldest row of %%s', to_char(o.moment AT TIME ZONE 'UTC', 'YYYY-MM-DD')) AS observed,
    format('no row older than %%s days', o.days) AS expected,
    jsonb_build_array(jsonb_build_object('relation', o.relation, 'oldest', o.moment)) AS sample
FROM oldest o WHERE o.moment IS NOT NULL
