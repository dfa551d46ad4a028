-- What the stream reads, and who inserts ticks writes: the log of changes, and the ticks and candles that it points to.

-- name: begin_inserts
SELECT candleworks.begin_inserts()

-- name: log_inserts
SELECT candleworks.log_inserts(
    %(family)s, %(symbols)s, %(firsts)s, %(lasts)s, %(counts)s, %(received_first)s, %(received_last)s
)

-- name: listen_stream
LISTEN candleworks_stream

-- name: stream_bounds
SELECT oldest, newest FROM candleworks.stream_bounds()

-- name: stream_since
SELECT position, committed_at, changed, removed, symbols, firsts, lasts, counts, received_first, received_last
FROM candleworks.stream_since(%(after)s, %(most)s)

-- name: log_refreshed
SELECT candleworks.log_refreshed(%(ticks)s, %(starts)s, %(stops)s)

-- name: streamed_trades
-- The trades of ranges, in order, with the number of their range. live: not from a file or a bar. The bounds of all ranges are
-- redundant, but spare the planner the other partitions. OFFSET 0 keeps it from joining ranges and trades by the symbol alone.
SELECT r.number, (date_part('epoch', t.time) * 1e6)::bigint, t.origin NOT IN ('file', 'bar', 'adopted') AS live,
    t.origin = 'bar', t.price, t.volume, t.bid, t.ask, t.day_volume IS NOT NULL
FROM unnest(
    %(symbols)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[], %(received_firsts)s::timestamptz[],
    %(received_lasts)s::timestamptz[]
) WITH ORDINALITY r(symbol, first, last, received_first, received_last, number)
CROSS JOIN LATERAL (
    SELECT s.* FROM public.stocks_real_time s
    WHERE s.symbol = r.symbol AND s.time >= r.first AND s.time <= r.last AND s.time >= %(first)s AND s.time <= %(last)s
        AND s.received_at >= r.received_first AND s.received_at <= r.received_last
    OFFSET 0
) t
ORDER BY r.number, t.time

-- name: streamed_quotes
-- The same of quotes.
SELECT r.number, (date_part('epoch', t.time) * 1e6)::bigint, t.origin NOT IN ('file', 'bar', 'adopted') AS live,
    t.origin = 'bar', t.bid, t.bid_volume, t.ask, t.ask_volume, false
FROM unnest(
    %(symbols)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[], %(received_firsts)s::timestamptz[],
    %(received_lasts)s::timestamptz[]
) WITH ORDINALITY r(symbol, first, last, received_first, received_last, number)
CROSS JOIN LATERAL (
    SELECT s.* FROM public.quotes s
    WHERE s.symbol = r.symbol AND s.time >= r.first AND s.time <= r.last AND s.time >= %(first)s AND s.time <= %(last)s
        AND s.received_at >= r.received_first AND s.received_at <= r.received_last
    OFFSET 0
) t
ORDER BY r.number, t.time

-- name: newest_trade
-- No row for a symbol without trades.
SELECT (date_part('epoch', t.time) * 1e6)::bigint, t.price, t.volume, t.bid, t.ask, t.day_volume IS NOT NULL
FROM public.stocks_real_time t WHERE t.symbol = %(symbol)s ORDER BY t.time DESC LIMIT 1

-- name: newest_quote
SELECT (date_part('epoch', t.time) * 1e6)::bigint, t.bid, t.bid_volume, t.ask, t.ask_volume, false
FROM public.quotes t WHERE t.symbol = %(symbol)s ORDER BY t.time DESC LIMIT 1

-- name: newest_series_candles
-- The two newest candles of each price side, with the position of the log and the newest tick as of the same snapshot. One row
-- without a candle where there is none.
SELECT b.newest, (date_part('epoch', n.time) * 1e6)::bigint, p.price, (date_part('epoch', c.bucket) * 1e6)::bigint,
    c.open, c.high, c.low, c.close, c.volume, c.ticks, c.rebuilt, c.closed, c.volume_from
FROM candleworks.stream_bounds() b
CROSS JOIN candleworks.newest_tick(%(symbol)s, (%(prices)s::text[])[1]) n(time)
CROSS JOIN candleworks.newest_tick(
    %(symbol)s, (%(prices)s::text[])[1], candleworks.bucket_start(n.time, %(period)s::interval)
) o(time)
LEFT JOIN unnest(%(prices)s::text[]) p(price) ON true
LEFT JOIN LATERAL (
    SELECT m.* FROM (VALUES (o.time), (n.time)) w(moment)
    CROSS JOIN LATERAL candleworks.candles_of(
        %(symbol)s, %(period)s::interval, w.moment, w.moment + interval '1 microsecond', p.price
    ) m
    WHERE w.moment IS NOT NULL
) c ON true
ORDER BY c.bucket

-- name: series_candles
-- The candles of [start, stop), as those of newest_series_candles.
SELECT b.newest, (date_part('epoch', n.time) * 1e6)::bigint, p.price, (date_part('epoch', c.bucket) * 1e6)::bigint,
    c.open, c.high, c.low, c.close, c.volume, c.ticks, c.rebuilt, c.closed, c.volume_from
FROM candleworks.stream_bounds() b
CROSS JOIN candleworks.newest_tick(%(symbol)s, (%(prices)s::text[])[1]) n(time)
LEFT JOIN unnest(%(prices)s::text[]) p(price) ON true
LEFT JOIN LATERAL candleworks.candles_of(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, p.price) c ON true
ORDER BY c.bucket

-- name: closed_buckets
-- Which of these buckets are closed, by their numbers.
WITH bucket AS (
    SELECT w.* FROM unnest(%(symbols)s::text[], %(starts)s::timestamptz[], %(stops)s::timestamptz[])
        WITH ORDINALITY w(symbol, start, stop, number)
), unsettled AS MATERIALIZED (
    SELECT b.symbol, candleworks.unsettled_times(b.symbol, min(b.start), max(b.stop)) AS times FROM bucket b GROUP BY b.symbol
)
SELECT b.number FROM bucket b JOIN unsettled u ON u.symbol = b.symbol WHERE candleworks.is_closed(b.start, b.stop, u.times)
