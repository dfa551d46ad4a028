-- What the watch list of the chart page reads. `watched_symbols` costs an index entry per symbol and is asked every few
-- seconds; `arrived_prices` reads only the ticks that arrived since, and is asked every second.

-- name: watched_symbols
-- Every symbol with a candle since a time (null: of all times): its newest tick (where ticks are gone, the start of its
-- newest day), the price there, which is the bid of a symbol without trades, and where its previous trading day ended.
-- stopped_at and stop_reason are null unless every feed that should stream it was stopped.
SELECT d.symbol, k.name, k.exchange, k.type, d.traded, d.quoted, f.calendar, t.time, coalesce(t.price, d.close) AS price,
    candleworks.previous_day_end(f.calendar, t.time) AS day_end, s.stopped_at, s.reason AS stop_reason
FROM (
    SELECT coalesce(c.symbol, q.symbol) AS symbol, c.symbol IS NOT NULL AS traded, q.symbol IS NOT NULL AS quoted,
        coalesce(c.bucket, q.bucket) AS bucket, coalesce(c.close, q.bid_close) AS close
    FROM (
        SELECT DISTINCT ON (symbol) symbol, bucket, close FROM public.candles_1d
        WHERE bucket >= coalesce(%(since)s::timestamptz, '-infinity') ORDER BY symbol, bucket DESC
    ) c
    FULL JOIN (
        SELECT DISTINCT ON (symbol) symbol, bucket, bid_close FROM public.quote_candles_1d
        WHERE bucket >= coalesce(%(since)s::timestamptz, '-infinity') ORDER BY symbol, bucket DESC
    ) q ON q.symbol = c.symbol
) d
LEFT JOIN LATERAL (
    SELECT time, price FROM public.stocks_real_time
    WHERE d.traded AND symbol = d.symbol AND time >= d.bucket ORDER BY time DESC LIMIT 1
) trade ON true
LEFT JOIN LATERAL (
    SELECT time, bid FROM public.quotes
    WHERE NOT d.traded AND symbol = d.symbol AND time >= d.bucket ORDER BY time DESC LIMIT 1
) quote ON true
CROSS JOIN LATERAL (
    SELECT coalesce(trade.time, quote.time, d.bucket) AS time, coalesce(trade.price, quote.bid) AS price
) t
CROSS JOIN LATERAL (SELECT candleworks.calendar_name(d.symbol) AS calendar) f
LEFT JOIN public.company k ON k.symbol = d.symbol
LEFT JOIN (
    SELECT n.symbol, max(p.stopped_at) AS stopped_at, string_agg(DISTINCT p.reason, '; ') AS reason
    FROM public.feed_symbols n LEFT JOIN public.feed_stops p ON p.feed = n.feed AND p.deliberate
    WHERE n.status IN ('asked', 'streaming') GROUP BY n.symbol HAVING count(*) = count(p.feed)
) s ON s.symbol = d.symbol
ORDER BY d.symbol

-- name: arrived_prices
-- The newest of the ticks of each symbol that arrived since a time; null stands for the side that the symbol does not have.
SELECT DISTINCT ON (symbol) symbol, time, price, traded
FROM (
    SELECT symbol, time, price, true AS traded FROM candleworks.new_ticks(%(arrived)s, 'infinity', %(from)s)
    UNION ALL
    SELECT symbol, time, bid, false FROM candleworks.new_quotes(%(arrived)s, 'infinity', %(from)s)
) t
ORDER BY symbol, traded DESC, time DESC

-- name: previous_closes
-- The last price of symbols before the end of their previous trading day: sought in the eight hours before it, then in the
-- daily candles of the 30 days before.
SELECT w.symbol, coalesce(recent.close, older.close) AS close
FROM unnest(%(symbols)s::text[]) w(symbol)
LEFT JOIN (
    SELECT DISTINCT ON (c.symbol) c.symbol, c.close FROM public.candles_5m c
    WHERE c.bucket >= %(day_end)s::timestamptz - interval '8 hours' AND c.bucket < %(day_end)s
    ORDER BY c.symbol, c.bucket DESC
) recent ON recent.symbol = w.symbol
LEFT JOIN LATERAL (
    SELECT c.close FROM public.candles_1d c
    WHERE recent.close IS NULL AND c.symbol = w.symbol
        AND c.bucket >= %(day_end)s::timestamptz - interval '30 days' AND c.bucket <= %(day_end)s::timestamptz - interval '24 hours'
    ORDER BY c.bucket DESC LIMIT 1
) older ON true

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
