-- name: recorded_trades
-- A symbol's stored trades in order, in microseconds since 1970. What was made from the vendor's bars is no recording.
SELECT (extract(epoch FROM time) * 1000000)::bigint, symbol, price, day_volume, bid, ask
FROM public.stocks_real_time
WHERE symbol = %(symbol)s AND time >= %(start)s AND time < %(stop)s AND origin <> 'bar'
ORDER BY time

-- name: traded_symbols
SELECT DISTINCT symbol FROM public.tick_candles_1d
WHERE bucket > %(start)s::timestamptz - interval '1 day' AND bucket < %(stop)s ORDER BY 1

-- name: holds_more_than_replays
-- Whether anything else than replays came into this database: a feed, a file, or ticks before the first replay.
SELECT EXISTS (SELECT FROM public.import_files)
    OR EXISTS (
        SELECT FROM candleworks.ingest_totals t
        WHERE NOT EXISTS (SELECT FROM candleworks.feed_replays r WHERE r.feed = t.feed)
    )
    OR NOT EXISTS (SELECT FROM candleworks.feed_replays) AND (
        EXISTS (SELECT FROM public.stocks_real_time)
        OR EXISTS (SELECT FROM public.quotes)
        OR EXISTS (SELECT FROM public.tick_candles_1d)
        OR EXISTS (SELECT FROM public.quote_candles_1d)
    )

-- name: newest_of_symbols
-- The newest stored trade of the symbols, and whose it is; no row without any.
SELECT t.time, t.symbol
FROM unnest(%(symbols)s::text[]) s(symbol)
CROSS JOIN LATERAL (
    SELECT time, symbol FROM public.stocks_real_time t WHERE t.symbol = s.symbol ORDER BY t.time DESC LIMIT 1
) t
ORDER BY t.time DESC LIMIT 1

-- name: newest_second
-- The trades of each symbol's newest stored second.
SELECT n.symbol, n.second, t.price, t.day_volume
FROM unnest(%(symbols)s::text[]) s(symbol)
CROSS JOIN LATERAL (
    SELECT symbol, date_trunc('second', time, 'UTC') AS second FROM public.stocks_real_time t
    WHERE t.symbol = s.symbol ORDER BY t.time DESC LIMIT 1
) n
JOIN public.stocks_real_time t
    ON t.symbol = n.symbol AND t.time >= n.second AND t.time < n.second + interval '1 second'

-- name: begin_feed_replay
-- What an earlier replay reported in these ten seconds goes, for this one's report begins from zero; the totals keep it.
WITH earlier AS (
    DELETE FROM public.ingest_stats WHERE feed = %(feed)s AND at > now() - interval '10 seconds'
)
INSERT INTO candleworks.feed_replays (feed, source, first, last, shifted_by)
VALUES (%(feed)s, %(source)s, %(first)s, %(last)s, %(shifted_by)s)
RETURNING id

-- name: end_feed_replay
UPDATE candleworks.feed_replays
SET sent = %(sent)s, stored = %(stored)s, duplicates = %(duplicates)s, rejected = %(rejected)s WHERE id = %(id)s

-- name: ingest_total
SELECT ticks, duplicates, rejected FROM candleworks.ingest_totals WHERE feed = %(feed)s
