-- Streamed symbols with far fewer ticks in the last complete hour than in the same hour of the last 14 days (the median of at
-- least 5). Only hours count in which the market was open throughout, and no gap of the feed was recorded. Rebuilt ones are
-- not compared: a bar has four ticks, however many trades it had.
WITH symbols AS MATERIALIZED (
    SELECT s.symbol, s.since, l.calendar, l.min_rate_percent
    FROM candleworks.subscribed_symbols() s
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, min_rate_percent double precision)
        ON l.symbol = s.symbol
    WHERE s.since <= %(hour)s
), open_hours AS MATERIALIZED (
    -- Once per calendar: for each symbol it took seconds.
    SELECT c.calendar, h.bucket
    FROM (SELECT DISTINCT calendar FROM symbols) c
    CROSS JOIN LATERAL (
        SELECT %(hour)s::timestamptz - d * interval '24 hours' AS bucket FROM generate_series(0, 14) d
    ) h
    WHERE candleworks.open_seconds(c.calendar, h.bucket, h.bucket + interval '1 hour') = 3600
), counted AS MATERIALIZED (
    SELECT c.symbol, c.bucket, c.ticks, c.rebuilt FROM public.candles_1h c
    WHERE c.symbol = ANY (%(streamed)s) AND c.bucket >= %(hour_first)s AND c.bucket <= %(hour)s
), usual AS (
    SELECT s.symbol, s.min_rate_percent, percentile_disc(0.5) WITHIN GROUP (ORDER BY c.ticks) AS ticks, count(*) AS days
    FROM symbols s
    JOIN open_hours today ON today.calendar = s.calendar AND today.bucket = %(hour)s
    JOIN open_hours o ON o.calendar = s.calendar AND o.bucket < %(hour)s
    JOIN counted c ON c.symbol = s.symbol AND c.bucket = o.bucket AND NOT c.rebuilt
    GROUP BY 1, 2
)
SELECT u.symbol AS subject,
    format('%%s ticks in the hour from %%s, usually %%s', coalesce(c.ticks, 0),
        to_char(%(hour)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), u.ticks) AS observed,
    format('at least %%s %%%% of the usual number', u.min_rate_percent) AS expected,
    jsonb_build_array(jsonb_build_object(
        'hour', %(hour)s::timestamptz, 'ticks', coalesce(c.ticks, 0), 'usual', u.ticks, 'days', u.days
    )) AS sample
FROM usual u
LEFT JOIN counted c ON c.symbol = u.symbol AND c.bucket = %(hour)s
WHERE u.days >= 5 AND u.ticks >= 100 AND c.rebuilt IS NOT TRUE AND coalesce(c.ticks, 0) < u.ticks * u.min_rate_percent / 100
    AND NOT candleworks.down_times(u.symbol, %(hour)s, %(hour)s::timestamptz + interval '1 hour')
        && tstzrange(%(hour)s, %(hour)s::timestamptz + interval '1 hour')
