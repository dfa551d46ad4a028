-- Streamed ticks that arrived later after their event time than allowed, although a newer tick of the symbol had arrived
-- before. Without that one it may be the last trade before a quiet time, which a vendor repeats after a subscription.
WITH old AS MATERIALIZED (
    SELECT t.symbol, t.time, t.price, t.received_at, l.max_age_seconds,
        extract(epoch FROM t.received_at - t.time) AS age_seconds
    FROM candleworks.new_ticks(%(arrived_from)s, %(received_until)s, '-infinity') t
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, max_age_seconds double precision) ON l.symbol = t.symbol
    WHERE t.origin NOT IN ('file', 'bar', 'adopted', 'manual')
        AND t.time < t.received_at - l.max_age_seconds * interval '1 second'
), offending AS (
    SELECT o.*, row_number() OVER (PARTITION BY o.symbol ORDER BY o.time) AS n
    FROM old o
    CROSS JOIN LATERAL (
        -- In order and limited, because EXISTS was planned as a join with the whole history.
        SELECT newer.time FROM public.stocks_real_time newer
        WHERE newer.symbol = o.symbol AND newer.time > o.time AND newer.time <= o.received_at
            AND newer.received_at < o.received_at
        ORDER BY newer.time LIMIT 1
    ) newer
)
SELECT o.symbol AS subject,
    format('%%s with an event time up to %%s s before arrival', candleworks.counted(count(*), 'tick'), round(max(o.age_seconds))) AS observed,
    format('at most %%s s before', min(o.max_age_seconds)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'max_age_seconds' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.symbol
