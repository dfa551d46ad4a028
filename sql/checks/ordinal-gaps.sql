-- Event times whose ticks do not have the ordinals 0, 1, 2, ... in the microseconds of their time: a tick was deleted, or
-- stored by other means than candleworks. Rows that were inserted by hand or adopted are not judged.
WITH suspects AS (
    SELECT t.symbol, date_trunc('milliseconds', t.time) AS event_time
    FROM candleworks.checked_ticks(%(received_from)s, %(received_until)s, %(time_from)s, %(rechecks)s) t
    WHERE t.origin NOT IN ('bar', 'adopted', 'manual')
    GROUP BY 1, 2 HAVING max(mod(extract(microseconds FROM t.time)::bigint, 1000)) >= count(*)
), offending AS (
    -- The other ticks of the event time may have arrived before the window.
    SELECT s.symbol, s.event_time, c.ordinals, row_number() OVER (PARTITION BY s.symbol ORDER BY s.event_time) AS n
    FROM suspects s
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(mod(extract(microseconds FROM t.time)::bigint, 1000) ORDER BY t.time) AS ordinals,
            max(mod(extract(microseconds FROM t.time)::bigint, 1000)) >= count(*) AS has_gap
        FROM public.stocks_real_time t
        WHERE t.symbol = s.symbol AND t.time >= s.event_time AND t.time < s.event_time + interval '1 millisecond'
            AND t.time >= %(reference_from)s -- redundant, but excludes chunks before they are opened
    ) c
    WHERE c.has_gap
)
SELECT o.symbol AS subject, format('%%s with missing ordinals', candleworks.counted(count(*), 'event time')) AS observed,
    'consecutive ordinals from 0' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.event_time, o.event_time + interval '1 millisecond'))) AS failing
FROM offending o GROUP BY o.symbol
