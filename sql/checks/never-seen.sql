-- Symbols that a feed asks for and that never had a tick, although their market was open long enough since; and those
-- that the vendor refused.
SELECT s.symbol AS subject,
    coalesce(
        string_agg(format('%%s refused it: %%s', s.feed, s.reason), '; ') FILTER (WHERE s.status = 'refused'),
        format('no tick ever, asked for since %%s', to_char(min(s.since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'))
    ) AS observed,
    format('a tick within %%s s of open market', min(l.never_seen_seconds)) AS expected,
    jsonb_agg(to_jsonb(s) ORDER BY s.feed) AS sample
FROM public.feed_symbols s
JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, never_seen_seconds double precision)
    ON l.symbol = s.symbol
WHERE s.status = 'refused'
    OR (
        s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed)
        AND candleworks.open_seconds(l.calendar, s.since, %(until)s) > l.never_seen_seconds
        AND candleworks.last_seen(s.symbol, %(until)s) IS NULL
    )
GROUP BY s.symbol
