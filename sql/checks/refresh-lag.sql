-- Candle levels of which a complete candle has not been stored for longer than allowed.
SELECT 'candles_' || l.level AS subject,
    concat_ws(', ',
        coalesce('stored until ' || to_char(l.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), 'nothing stored'),
        CASE WHEN l.lag_seconds > 0 THEN format('%%s s behind', round(l.lag_seconds::numeric)) ELSE 'up to date' END
    ) AS observed,
    format('at most %%s s behind', %(max_refresh_lag_seconds)s) AS expected,
    jsonb_build_array(to_jsonb(l)) AS sample
FROM jsonb_to_recordset(%(levels)s) l(level text, watermark timestamptz, lag_seconds double precision)
WHERE l.lag_seconds > %(max_refresh_lag_seconds)s
