-- Candle levels whose stored part ends further before the newest tick than allowed. On TimescaleDB whole buckets are
-- stored, so that a level is behind by its own width at least. Ticks stamped in the future are left out.
WITH behind AS (
    SELECT l.level, l.watermark, c.width, extract(epoch FROM
        least(l.watermark + l.lag_seconds * interval '1 second', %(until)s) - l.watermark
    ) AS seconds
    FROM jsonb_to_recordset(%(levels)s) l(level text, watermark timestamptz, lag_seconds double precision)
    JOIN candleworks.candle_levels c ON c.name = l.level
)
SELECT 'candles_' || b.level AS subject,
    format('stored until %%s, %%s s before the newest tick',
        to_char(b.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), round(b.seconds)) AS observed,
    format('at most %%s s and its own width', %(max_refresh_lag_seconds)s) AS expected,
    jsonb_build_array(to_jsonb(b)) AS sample
FROM behind b WHERE b.seconds > extract(epoch FROM b.width) + %(max_refresh_lag_seconds)s
