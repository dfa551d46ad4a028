-- Feeds without any tick for longer than allowed, although a market of theirs was open all that time and nobody has
-- stopped them. An empty batch is judged here: the checks of its rows have nothing to say.
SELECT 'feed/' || f.feed AS subject,
    coalesce('no tick since ' || to_char(max(f.last) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'), 'no tick at all')
        AS observed,
    format('a tick within %%s s', %(max_feed_silence_seconds)s) AS expected,
    jsonb_agg(jsonb_build_object('symbol', f.symbol, 'last', f.last) ORDER BY f.last DESC NULLS LAST) FILTER (WHERE f.n <= %(sample)s)
        AS sample
FROM (
    SELECT s.feed, s.symbol, s.since, candleworks.last_seen(s.symbol, %(until)s) AS last,
        candleworks.open_seconds(
            l.calendar, %(until)s::timestamptz - %(max_feed_silence_seconds)s * interval '1 second', %(until)s
        ) >= %(max_feed_silence_seconds)s AS open_throughout,
        row_number() OVER (PARTITION BY s.feed ORDER BY s.symbol) AS n
    FROM public.feed_symbols s
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text) ON l.symbol = s.symbol
    WHERE s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed)
) f
GROUP BY f.feed
HAVING bool_or(f.open_throughout AND f.since < %(until)s::timestamptz - %(max_feed_silence_seconds)s * interval '1 second')
    AND coalesce(max(f.last), '-infinity') < %(until)s::timestamptz - %(max_feed_silence_seconds)s * interval '1 second'
