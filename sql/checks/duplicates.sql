-- Feeds of which many ticks were stored already. Fewer than 100 do not count: a reconnect repeats one per symbol.
SELECT 'feed/' || s.feed AS subject,
    format('%%s of %%s ticks were duplicates (%%s %%%%)', sum(s.duplicates), sum(s.duplicates + s.ticks),
        to_char(100.0 * sum(s.duplicates) / sum(s.duplicates + s.ticks), 'FM990.0')) AS observed,
    format('at most %%s %%%%', %(max_duplicates_percent)s) AS expected,
    jsonb_build_array((
        array_agg(jsonb_build_object('at', s.at, 'ticks', s.ticks, 'duplicates', s.duplicates) ORDER BY s.duplicates DESC)
    )[1]) AS sample
FROM public.ingest_stats s
WHERE s.at >= %(stats_from)s AND s.at < %(until)s
GROUP BY s.feed
HAVING sum(s.duplicates) >= 100 AND sum(s.duplicates) * 100 > sum(s.duplicates + s.ticks) * %(max_duplicates_percent)s
