-- name: feed_liveness
-- What each feed showed up to a time: its newest heartbeat (a row of statistics), the ticks of a window before that time and
-- how many ten seconds of it have statistics, how many ticks waited in the newest seven of them (oldest first), whether an
-- exchange of the feed was open throughout the window; since when and why it is disconnected, though its ingest runs; when
-- and why an operator stopped it, unless it was started again; since when the vendor refuses a key that it has accepted before,
-- and what it answers. feeds and symbols are pairs.
SELECT f.feed, newest.at AS heartbeat_at, stats.windows, stats.ticks, spool.depths AS spool_depths, EXISTS (
        SELECT FROM (
            SELECT DISTINCT candleworks.calendar_of(m.symbol) AS calendar
            FROM unnest(%(feeds)s::text[], %(symbols)s::text[]) m(feed, symbol) WHERE m.feed = f.feed
        ) c
        WHERE candleworks.open_times(c.calendar, %(at)s - %(window)s, %(at)s) @> tstzrange(%(at)s - %(window)s, %(at)s)
    ) AS in_session,
    gap.started_at AS disconnected_at, gap.reason AS disconnect_reason, stop.stopped_at, stop.reason AS stop_reason,
    refusal.since AS refused_since, refusal.observed AS refusal
FROM (SELECT DISTINCT feed FROM unnest(%(feeds)s::text[]) f(feed)) f
LEFT JOIN LATERAL (
    SELECT s.at FROM public.ingest_stats s WHERE s.feed = f.feed AND s.at <= %(at)s ORDER BY s.at DESC LIMIT 1
) newest ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS windows, coalesce(sum(s.ticks + s.duplicates + s.rejected), 0)::bigint AS ticks
    FROM public.ingest_stats s
    WHERE s.feed = f.feed AND s.at > %(at)s - %(window)s - interval '10 seconds' AND s.at <= %(at)s
) stats
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(w.spool_depth ORDER BY w.at), '{}') AS depths FROM (
        SELECT s.at, s.spool_depth FROM public.ingest_stats s
        WHERE s.feed = f.feed AND s.at > %(at)s - interval '80 seconds' AND s.at <= %(at)s
        ORDER BY s.at DESC LIMIT 7
    ) w
) spool
LEFT JOIN LATERAL (
    -- Silence is judged by its ticks, and a feed that is slowed because memory and disk are full by its spool.
    SELECT g.started_at, g.reason FROM public.feed_gaps g
    WHERE g.feed = f.feed AND g.symbol IS NULL AND g.ended_at IS NULL AND g.reason NOT IN ('silent', 'overflow')
        AND g.started_at <= %(at)s
    ORDER BY g.started_at DESC LIMIT 1
) gap ON true
LEFT JOIN public.feed_stops stop ON stop.feed = f.feed AND stop.deliberate
LEFT JOIN candleworks.feed_refusals refusal ON refusal.feed = f.feed
ORDER BY f.feed

-- name: check_liveness
-- When checks ran last within a day, and in how many of the twelve periods of five minutes up to then.
SELECT newest.at AS last_run_at, (
    SELECT count(DISTINCT date_bin('5 minutes', r.at, newest.at)) FROM public.quality_results r
    WHERE r.at > newest.at - interval '1 hour' AND r.at <= newest.at
) AS periods
FROM (
    SELECT max(r.at) AS at FROM public.quality_results r WHERE r.at > %(at)s - interval '1 day' AND r.at <= %(at)s
) newest
WHERE newest.at IS NOT NULL
