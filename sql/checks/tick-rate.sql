-- Streamed symbols with far fewer ticks in the last whole hour than in the same hour of the last 14 days (their median, of
-- at least 5). Only hours count in which the market was open throughout, and no known hole of the feed.
WITH hour AS (
    SELECT date_trunc('hour', %(until)s::timestamptz, 'UTC') - interval '1 hour' AS start
), usual AS (
    SELECT s.symbol, percentile_disc(0.5) WITHIN GROUP (ORDER BY c.ticks) AS ticks, count(*) AS days
    FROM hour h
    CROSS JOIN candleworks.subscribed_symbols() s
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text) ON l.symbol = s.symbol
    JOIN public.candles_1h c ON c.symbol = s.symbol AND c.bucket = ANY (
        ARRAY(SELECT h.start - d * interval '24 hours' FROM generate_series(1, 14) d)
    )
    WHERE s.since <= h.start
        AND candleworks.open_seconds(l.calendar, h.start, h.start + interval '1 hour') = 3600
        AND candleworks.open_seconds(l.calendar, c.bucket, c.bucket + interval '1 hour') = 3600
        AND NOT candleworks.down_times(s.symbol, h.start, h.start + interval '1 hour') && tstzrange(h.start, h.start + interval '1 hour')
    GROUP BY s.symbol
)
SELECT u.symbol AS subject,
    format('%%s ticks from %%s, usually %%s', coalesce(c.ticks, 0),
        to_char(h.start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), u.ticks) AS observed,
    format('at least %%s %%%% of the usual', l.min_rate_percent) AS expected,
    jsonb_build_array(jsonb_build_object('hour', h.start, 'ticks', coalesce(c.ticks, 0), 'usual', u.ticks, 'days', u.days)) AS sample
FROM hour h
CROSS JOIN usual u
JOIN jsonb_to_recordset(%(limits)s) l(symbol text, min_rate_percent double precision) ON l.symbol = u.symbol
LEFT JOIN public.candles_1h c ON c.symbol = u.symbol AND c.bucket = h.start
WHERE u.days >= 5 AND u.ticks >= 100 AND coalesce(c.ticks, 0) < u.ticks * l.min_rate_percent / 100
