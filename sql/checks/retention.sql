-- Relations that hold rows two days (ticks: a chunk or partition and two days) longer than the configuration says:
-- `candleworks maintain` does not run, or fails. Also relations that something else drops parts of: a policy of TimescaleDB, or
-- whoever has dropped ticks in the last seven days.
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
), finding AS (
    SELECT o.relation, format('oldest row of %%s', to_char(o.moment AT TIME ZONE 'UTC', 'YYYY-MM-DD')) AS observed,
        format('no row older than %%s days', o.days) AS expected,
        jsonb_build_object('relation', o.relation, 'oldest', o.moment) AS sample
    FROM oldest o WHERE o.moment IS NOT NULL
    UNION ALL
    SELECT p.relation, format('policy of TimescaleDB, job %%s', p.job), 'dropped by candleworks maintain alone', to_jsonb(p)
    FROM candleworks.foreign_policies() p WHERE p.procedure = 'policy_retention'
    UNION ALL
    SELECT d.relation, format('dropped by something else from %%s to %%s',
            to_char(min(d.starts_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), to_char(max(d.stops_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
        ), 'dropped by candleworks maintain alone',
        jsonb_build_object('relation', d.relation, 'start', min(d.starts_at), 'stop', max(d.stops_at))
    FROM candleworks.tick_parts d WHERE d.dropped_at > %(until)s::timestamptz - interval '7 days' GROUP BY d.relation
)
SELECT f.relation AS subject, string_agg(f.observed, ', ' ORDER BY f.observed) AS observed,
    string_agg(DISTINCT f.expected, ', ') AS expected, jsonb_agg(f.sample ORDER BY f.observed) AS sample
FROM finding f GROUP BY f.relation
