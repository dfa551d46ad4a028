-- Subscribed symbols that never had a tick, although their market was open for longer than silence is allowed, and symbols
-- that the vendor refused.
SELECT s.symbol AS subject,
    coalesce(
        string_agg(format('refused on feed %%s: %%s', s.feed, s.reason), '; ') FILTER (WHERE s.status = 'refused'),
        format('no tick since it was subscribed at %%s', to_char(min(s.since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'))
    ) AS observed,
    format('a tick within %%s s in market hours', min(l.max_silence_seconds)) AS expected,
    jsonb_agg(to_jsonb(s) ORDER BY s.feed) AS sample
FROM public.feed_symbols s
JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, max_silence_seconds double precision)
    ON l.symbol = s.symbol
WHERE s.status = 'refused'
    OR (
        s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed)
        AND candleworks.open_seconds(l.calendar, s.since, %(until)s) > l.max_silence_seconds
        AND candleworks.last_seen(s.symbol, %(until)s) IS NULL
    )
GROUP BY s.symbol
