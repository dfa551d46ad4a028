-- Ticks whose event time is further ahead of their arrival than allowed.
WITH offending AS (
    SELECT t.symbol, t.time, t.price, t.received_at, l.max_future_seconds,
        extract(epoch FROM t.time - t.received_at) AS ahead_seconds,
        row_number() OVER (PARTITION BY t.symbol ORDER BY t.time DESC) AS n
    FROM candleworks.checked_ticks(%(received_from)s, %(received_until)s, %(time_from)s, %(rechecks)s) t
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, max_future_seconds double precision) ON l.symbol = t.symbol
    WHERE t.time > t.received_at + l.max_future_seconds * interval '1 second'
)
SELECT o.symbol AS subject,
    format('%%s with an event time up to %%s s ahead of arrival', candleworks.counted(count(*), 'tick'), round(max(o.ahead_seconds))) AS observed,
    format('at most %%s s ahead', min(o.max_future_seconds)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'max_future_seconds' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.time, o.time + interval '1 microsecond'))) AS failing
FROM offending o GROUP BY o.symbol
