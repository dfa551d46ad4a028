-- Feeds with many ticks waiting for the database, by their newest row of statistics.
SELECT 'feed/' || s.feed AS subject, format('%%s not yet stored', candleworks.counted(s.spool_depth, 'tick')) AS observed,
    format('at most %%s', %(max_spool_ticks)s) AS expected,
    jsonb_build_array(jsonb_build_object('at', s.at, 'spool_depth', s.spool_depth)) AS sample
FROM (
    SELECT DISTINCT ON (s.feed) s.feed, s.at, s.spool_depth FROM public.ingest_stats s
    WHERE s.at >= %(stats_from)s AND s.at < %(until)s ORDER BY s.feed, s.at DESC
) s
WHERE s.spool_depth > %(max_spool_ticks)s
