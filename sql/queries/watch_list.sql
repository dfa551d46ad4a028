-- What the watch list of the chart page reads. Ticks are met one index entry at a time: candles would have to be computed
-- where ticks have changed since the last refresh. docs/decisions/0046-watch-list.md has the costs.

-- name: newest_ticks
-- The newest tick of every symbol that has one since a time, the bid where it is a quote. The symbols are found by leaping
-- from one to the next in the index.
WITH RECURSIVE trading(symbol) AS (
    (SELECT t.symbol FROM public.stocks_real_time t WHERE t.time >= %(since)s ORDER BY t.symbol LIMIT 1)
    UNION ALL
    SELECT (SELECT t.symbol FROM public.stocks_real_time t
            WHERE t.symbol > s.symbol AND t.time >= %(since)s ORDER BY t.symbol LIMIT 1)
    FROM trading s WHERE s.symbol IS NOT NULL
), quoting(symbol) AS (
    (SELECT q.symbol FROM public.quotes q WHERE q.time >= %(since)s ORDER BY q.symbol LIMIT 1)
    UNION ALL
    SELECT (SELECT q.symbol FROM public.quotes q
            WHERE q.symbol > s.symbol AND q.time >= %(since)s ORDER BY q.symbol LIMIT 1)
    FROM quoting s WHERE s.symbol IS NOT NULL
)
SELECT s.symbol, n.time, n.price, true AS traded
FROM trading s
CROSS JOIN LATERAL (
    SELECT t.time, t.price FROM public.stocks_real_time t
    WHERE t.symbol = s.symbol AND t.time >= %(since)s ORDER BY t.time DESC LIMIT 1
) n
UNION ALL
SELECT s.symbol, n.time, n.bid, false
FROM quoting s
CROSS JOIN LATERAL (
    SELECT q.time, q.bid FROM public.quotes q
    WHERE q.symbol = s.symbol AND q.time >= %(since)s ORDER BY q.time DESC LIMIT 1
) n

-- name: newest_candles
-- The start and the close of the newest daily candle before a time of every symbol that has one.
SELECT * FROM (
    SELECT DISTINCT ON (symbol) symbol, bucket AS time, close AS price, true AS traded FROM public.tick_candles_1d
    WHERE bucket < %(before)s ORDER BY symbol, bucket DESC
) c
UNION ALL
SELECT * FROM (
    SELECT DISTINCT ON (symbol) symbol, bucket, bid_close, false FROM public.quote_candles_1d
    WHERE bucket < %(before)s ORDER BY symbol, bucket DESC
) q

-- name: arrived_ticks
-- The newest of the ticks of each symbol that arrived since a time.
SELECT * FROM (
    SELECT DISTINCT ON (symbol) symbol, time, price, true AS traded
    FROM candleworks.new_ticks(%(arrived)s, 'infinity', %(since)s) ORDER BY symbol, time DESC
) t
UNION ALL
SELECT * FROM (
    SELECT DISTINCT ON (symbol) symbol, time, bid, false
    FROM candleworks.new_quotes(%(arrived)s, 'infinity', %(since)s) ORDER BY symbol, time DESC
) q

-- name: symbol_facts
-- What is known of symbols: their companies, calendars, where the trading day before that of a time ended, and since when
-- every feed that should stream them is stopped. Null stands for what is not known.
WITH wanted AS MATERIALIZED (
    SELECT n.symbol, date_trunc('minute', n.time) AS minute, candleworks.calendar_name(n.symbol) AS calendar
    FROM unnest(%(symbols)s::text[], %(times)s::timestamptz[]) n(symbol, time)
), days AS MATERIALIZED ( -- symbols that are traded at the same time share a day
    SELECT d.calendar, d.minute, candleworks.previous_day_end(d.calendar, d.minute) AS day_end
    FROM (SELECT DISTINCT calendar, minute FROM wanted) d
)
SELECT w.symbol, k.name, k.exchange, k.type, w.calendar, d.day_end, s.stopped_at, s.reason AS stop_reason
FROM wanted w
LEFT JOIN days d ON d.calendar = w.calendar AND d.minute = w.minute
LEFT JOIN public.company k ON k.symbol = w.symbol
LEFT JOIN (
    SELECT n.symbol, max(p.stopped_at) AS stopped_at, string_agg(DISTINCT p.reason, '; ') AS reason
    FROM public.feed_symbols n LEFT JOIN public.feed_stops p ON p.feed = n.feed AND p.deliberate
    WHERE n.status IN ('asked', 'streaming') GROUP BY n.symbol HAVING count(*) = count(p.feed)
) s ON s.symbol = w.symbol

-- name: previous_closes
-- The last price of symbols before a trading day ended, where a tick of the eight days before has it.
SELECT w.symbol, t.price
FROM unnest(%(symbols)s::text[]) w(symbol)
CROSS JOIN LATERAL (
    SELECT t.price FROM public.stocks_real_time t
    WHERE t.symbol = w.symbol AND t.time < %(day_end)s AND t.time >= %(day_end)s::timestamptz - interval '8 days'
    ORDER BY t.time DESC LIMIT 1
) t

-- name: previous_bids
SELECT w.symbol, t.bid
FROM unnest(%(symbols)s::text[]) w(symbol)
CROSS JOIN LATERAL (
    SELECT t.bid FROM public.quotes t
    WHERE t.symbol = w.symbol AND t.time < %(day_end)s AND t.time >= %(day_end)s::timestamptz - interval '8 days'
    ORDER BY t.time DESC LIMIT 1
) t

-- name: market_hours
-- Of every calendar: its zone, whether it is open, since when it is closed, and when it opens or closes next. Null where
-- that is not within ten days.
SELECT c.name, c.zone, coalesce(bool_or(now() <@ r.part), false) AS open,
    max(upper(r.part)) FILTER (WHERE upper(r.part) <= now()) AS closed_at,
    min(lower(r.part)) FILTER (WHERE lower(r.part) > now()) AS opens_at,
    min(upper(r.part)) FILTER (WHERE upper(r.part) > now()) AS closes_at
FROM candleworks.calendars c
LEFT JOIN LATERAL unnest(
    candleworks.open_times(c.name, now() - interval '10 days', now() + interval '10 days')
) r(part) ON true
GROUP BY c.name, c.zone
ORDER BY c.name
