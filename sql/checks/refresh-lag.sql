-- Candle levels of which a complete candle waits longer than allowed to be stored.
SELECT 'candles_' || l.level AS subject,
    format('stored until %%s, %%s',
        coalesce(to_char(l.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), 'nowhere'),
        CASE WHEN l.lag_seconds > 0 THEN format('a complete candle waits for %%s s', round(l.lag_seconds::numeric))
            ELSE 'no complete candle waits' END) AS observed,
    format('at most %%s s', %(max_refresh_lag_seconds)s) AS expected,
    jsonb_build_array(to_jsonb(l)) AS sample
FROM jsonb_to_recordset(%(levels)s) l(level text, watermark timestamptz, lag_seconds double precision)
WHERE l.lag_seconds > %(max_refresh_lag_seconds)s
