-- Stamps whose ticks are not numbered 0, 1, 2, ... in the microseconds of their time: a tick was deleted, or stored past
-- the rules of tick identity. What others wrote by hand follows no such rules.
WITH suspects AS (
    SELECT t.symbol, date_trunc('milliseconds', t.time) AS stamp
    FROM candleworks.checked_ticks(%(received_from)s, %(received_until)s, %(time_from)s, %(again)s) t
    WHERE t.origin NOT IN ('bar', 'adopted', 'manual')
    GROUP BY 1, 2 HAVING max(mod(extract(microseconds FROM t.time)::bigint, 1000)) >= count(*)
), offending AS (
    -- The other ticks of the stamp may have come before the window.
    SELECT s.symbol, s.stamp, c.ordinals, row_number() OVER (PARTITION BY s.symbol ORDER BY s.stamp) AS n
    FROM suspects s
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(mod(extract(microseconds FROM t.time)::bigint, 1000) ORDER BY t.time) AS ordinals,
            max(mod(extract(microseconds FROM t.time)::bigint, 1000)) >= count(*) AS has_hole
        FROM public.stocks_real_time t
        WHERE t.symbol = s.symbol AND t.time >= s.stamp AND t.time < s.stamp + interval '1 millisecond'
            AND t.time >= %(reference_from)s -- says nothing new, but leaves out chunks before they are opened
    ) c
    WHERE c.has_hole
)
SELECT o.symbol AS subject, format('%%s with a hole in the numbers of the ticks', candleworks.counted(count(*), 'stamp')) AS observed,
    'ticks of a stamp numbered from 0 without holes' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.stamp, o.stamp + interval '1 millisecond'))) AS failing
FROM offending o GROUP BY o.symbol
