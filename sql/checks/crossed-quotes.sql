-- Ticks whose bid is above their ask. The table quotes rejects them.
WITH offending AS (
    SELECT t.symbol, t.time, t.bid, t.ask, t.received_at, row_number() OVER (PARTITION BY t.symbol ORDER BY t.time) AS n
    FROM candleworks.new_ticks(%(received_from)s, %(received_until)s, %(time_from)s) t
    WHERE t.bid > t.ask
)
SELECT o.symbol AS subject, format('%%s with the bid above the ask', candleworks.counted(count(*), 'tick')) AS observed, 'bid <= ask' AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.symbol
