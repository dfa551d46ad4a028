-- name: feed_liveness
-- What each feed showed up to a moment: the newest sign of life, the ticks of a stretch before it and how much of that
-- stretch is known, how many ticks waited in the newest seven windows (oldest first), and whether an exchange of the feed
-- was open all that time; when and why a person stopped it, if nobody has started it since. feeds and symbols are pairs.
SELECT f.feed, stop.stopped_at, stop.reason AS stop_reason, newest.at AS last_sign_at, stretch.windows, stretch.ticks, waiting.depths AS spool_depths, EXISTS (
    SELECT FROM (
        SELECT DISTINCT candleworks.calendar_of(m.symbol) AS calendar
        FROM unnest(%(feeds)s::text[], %(symbols)s::text[]) m(feed, symbol) WHERE m.feed = f.feed
    ) c
    WHERE candleworks.open_times(c.calendar, %(moment)s - %(silence)s, %(moment)s)
        @> tstzrange(%(moment)s - %(silence)s, %(moment)s)
) AS in_session
FROM (SELECT DISTINCT feed FROM unnest(%(feeds)s::text[]) f(feed)) f
LEFT JOIN LATERAL (
    SELECT s.at FROM public.ingest_stats s WHERE s.feed = f.feed AND s.at <= %(moment)s ORDER BY s.at DESC LIMIT 1
) newest ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS windows, coalesce(sum(s.ticks + s.duplicates + s.rejected), 0)::bigint AS ticks
    FROM public.ingest_stats s
    WHERE s.feed = f.feed AND s.at > %(moment)s - %(silence)s - interval '10 seconds' AND s.at <= %(moment)s
) stretch
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(w.spool_depth ORDER BY w.at), '{}') AS depths FROM (
        SELECT s.at, s.spool_depth FROM public.ingest_stats s
        WHERE s.feed = f.feed AND s.at > %(moment)s - interval '80 seconds' AND s.at <= %(moment)s
        ORDER BY s.at DESC LIMIT 7
    ) w
) waiting
LEFT JOIN public.feed_stops stop ON stop.feed = f.feed AND stop.deliberate
ORDER BY f.feed

-- name: check_liveness
-- When checks ran last within a day, and in how many of the twelve stretches of five minutes up to then.
SELECT newest.at AS last_run_at, (
    SELECT count(DISTINCT date_bin('5 minutes', r.at, newest.at)) FROM public.quality_results r
    WHERE r.at > newest.at - interval '1 hour' AND r.at <= newest.at
) AS stretches
FROM (
    SELECT max(r.at) AS at FROM public.quality_results r WHERE r.at > %(moment)s - interval '1 day' AND r.at <= %(moment)s
) newest
WHERE newest.at IS NOT NULL
