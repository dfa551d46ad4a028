-- Feeds whose ticks take long from arrival to commit: the median of the p99 lags of every ten seconds.
SELECT 'feed/' || s.feed AS subject,
    format('p99 lag %%s ms', round((percentile_disc(0.5) WITHIN GROUP (ORDER BY s.lag_ms_p99))::numeric)) AS observed,
    format('at most %%s ms', %(max_lag_ms)s) AS expected,
    jsonb_build_array(jsonb_build_object('from', min(s.at), 'to', max(s.at), 'highest_ms', max(s.lag_ms_max), 'ticks', sum(s.ticks)))
        AS sample
FROM public.ingest_stats s
WHERE s.at >= %(stats_from)s AND s.at < %(until)s AND s.lag_ms_p99 IS NOT NULL
GROUP BY s.feed
HAVING percentile_disc(0.5) WITHIN GROUP (ORDER BY s.lag_ms_p99) > %(max_lag_ms)s
