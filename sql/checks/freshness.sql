-- Streamed symbols without a tick for longer than allowed while their market is open and they are subscribed.
SELECT s.symbol AS subject,
    format('no tick for %%s s in market hours, last tick %%s', round(o.seconds::numeric),
        to_char(t.last AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC')) AS observed,
    format('a tick within %%s s', l.max_silence_seconds) AS expected,
    jsonb_build_array(jsonb_build_object('symbol', s.symbol, 'last', t.last, 'streamed_since', s.since)) AS sample
FROM candleworks.subscribed_symbols() s
JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, max_silence_seconds double precision)
    ON l.symbol = s.symbol
CROSS JOIN LATERAL (SELECT candleworks.last_seen(s.symbol, %(until)s) AS last) t
CROSS JOIN LATERAL (SELECT candleworks.open_seconds(l.calendar, greatest(t.last, s.since), %(until)s) AS seconds) o
WHERE t.last IS NOT NULL AND o.seconds > l.max_silence_seconds
