-- Spreads wider than allowed while the market is open, of ticks and of quotes. Those of streamed ticks are quotes themselves.
WITH sides AS (
    SELECT t.symbol, t.time, t.bid, t.ask
    FROM candleworks.new_ticks(%(received_from)s, %(received_until)s, %(time_from)s) t
    WHERE t.ask > t.bid AND t.bid >= 0 AND t.origin <> 'twelvedata'
    UNION ALL
    SELECT q.symbol, q.time, q.bid, q.ask
    FROM candleworks.new_quotes(%(received_from)s, %(received_until)s, %(time_from)s) q
    WHERE q.ask > q.bid
), wide AS (
    SELECT s.*, 200 * (s.ask - s.bid) / (s.ask + s.bid) AS percent, l.max_spread_percent, l.calendar
    FROM sides s
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, calendar text, max_spread_percent double precision)
        ON l.symbol = s.symbol
    WHERE 200 * (s.ask - s.bid) > l.max_spread_percent * (s.ask + s.bid)
), open_times AS (
    SELECT w.calendar, candleworks.open_times(w.calendar, min(w.time), max(w.time) + interval '1 second') AS spans
    FROM wide w GROUP BY w.calendar
), offending AS (
    SELECT w.*, row_number() OVER (PARTITION BY w.symbol ORDER BY w.percent DESC, w.time) AS n
    FROM wide w JOIN open_times o USING (calendar) WHERE o.spans @> w.time
)
SELECT o.symbol AS subject,
    format('%%s with a spread of up to %%s %%%%', candleworks.counted(count(*), 'quote'), to_char(max(o.percent), 'FM9999990.00')) AS observed,
    format('at most %%s %%%%', min(o.max_spread_percent)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'max_spread_percent' - 'calendar' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.symbol
