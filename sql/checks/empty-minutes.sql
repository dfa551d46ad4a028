-- Streamed symbols with more consecutive minutes without a candle than allowed, followed by a candle: until then freshness
-- judges them. Only minutes count in which the market was open, the symbol subscribed, and no gap of its feeds unfilled.
WITH candles AS (
    SELECT s.symbol, s.since, %(candles_from)s::timestamptz AS start, c.bucket
    FROM candleworks.subscribed_symbols() s
    JOIN public.candles_1m c ON c.symbol = s.symbol AND c.bucket >= %(candles_from)s AND c.bucket < %(until)s
    UNION ALL
    -- The feed may have been restarted since: that fills nothing.
    SELECT s.symbol, a.start, a.start, c.bucket
    FROM jsonb_to_recordset(%(rechecks)s) a(symbol text, start timestamptz, stop timestamptz)
    JOIN candleworks.subscribed_symbols() s ON s.symbol = a.symbol
    CROSS JOIN LATERAL (
        SELECT c.bucket FROM public.candles_1m c
        WHERE c.symbol = a.symbol AND c.bucket >= a.start AND c.bucket < a.stop OFFSET 0
    ) c
), buckets AS (
    SELECT c.symbol, c.since, l.calendar, l.max_empty_minutes, c.bucket,
        coalesce(
            lag(c.bucket) OVER (PARTITION BY c.symbol, c.start ORDER BY c.bucket),
            date_trunc('minute', candleworks.last_seen(c.symbol, c.bucket - interval '1 microsecond'), 'UTC')
        ) + interval '1 minute' AS previous_end
    FROM candles c
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, max_empty_minutes double precision)
        ON l.symbol = c.symbol
), gaps AS (
    SELECT DISTINCT b.symbol, b.calendar, b.max_empty_minutes, greatest(b.previous_end, b.since) AS start, b.bucket AS stop
    FROM buckets b
    WHERE b.bucket - greatest(b.previous_end, b.since) > b.max_empty_minutes * interval '1 minute'
), offending AS (
    SELECT h.symbol, h.start, h.stop, h.max_empty_minutes, o.minutes,
        row_number() OVER (PARTITION BY h.symbol ORDER BY h.start) AS n
    FROM gaps h
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(extract(epoch FROM upper(r.part) - lower(r.part))), 0) / 60 AS minutes
        FROM unnest(
            candleworks.open_times(h.calendar, h.start, h.stop) * tstzmultirange(tstzrange(h.start, h.stop))
            - candleworks.down_times(h.symbol, h.start, h.stop)
        ) r(part)
    ) o
    WHERE o.minutes > h.max_empty_minutes
)
SELECT o.symbol AS subject,
    format('%%s without a candle in market hours, from %%s', candleworks.counted(round(max(o.minutes)), 'minute'),
        to_char(min(o.start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC')) AS observed,
    format('at most %%s consecutive minutes', min(o.max_empty_minutes)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'max_empty_minutes' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.start, o.stop + interval '1 minute'))) AS failing
FROM offending o GROUP BY o.symbol
