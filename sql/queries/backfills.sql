-- name: backfill_records
SELECT feed, symbol, wanted_from, streamed_from, fetched_from, fetched_until, bars, outcome, reason, attempts, retry_at, named,
    daily_wanted_from, daily_from, daily_bars
FROM public.backfills WHERE feed = %(feed)s

-- name: save_backfill
INSERT INTO public.backfills (
    feed, symbol, wanted_from, streamed_from, fetched_from, fetched_until, bars, outcome, reason, attempts, retry_at, named,
    daily_wanted_from, daily_from, daily_bars, at
) VALUES (
    %(feed)s, %(symbol)s, %(wanted_from)s, %(streamed_from)s, %(fetched_from)s, %(fetched_until)s, %(bars)s, %(outcome)s,
    %(reason)s, %(attempts)s, %(retry_at)s, %(named)s, %(daily_wanted_from)s, %(daily_from)s, %(daily_bars)s, %(at)s
)
ON CONFLICT (feed, symbol) DO UPDATE SET
    wanted_from = excluded.wanted_from, streamed_from = excluded.streamed_from, fetched_from = excluded.fetched_from,
    fetched_until = excluded.fetched_until, bars = excluded.bars, outcome = excluded.outcome, reason = excluded.reason,
    attempts = excluded.attempts, retry_at = excluded.retry_at, named = excluded.named,
    daily_wanted_from = excluded.daily_wanted_from, daily_from = excluded.daily_from, daily_bars = excluded.daily_bars,
    at = excluded.at

-- name: due_backfills
-- Those of the symbols whose history is not complete from a moment on, or whose daily bars are not from another one (null:
-- none are wanted, as the names of companies always are), and that may be tried now. What the vendor refused to stream is
-- not asked for.
SELECT s.symbol
FROM unnest(%(symbols)s::text[]) WITH ORDINALITY s(symbol, position)
LEFT JOIN public.backfills b ON b.feed = %(feed)s AND b.symbol = s.symbol
WHERE (
        b.symbol IS NULL OR NOT b.named OR b.wanted_from > %(wanted_from)s
        OR b.outcome <> 'complete' AND coalesce(%(wanted_from)s, %(daily_from)s, b.daily_wanted_from) IS NOT NULL
        OR coalesce(b.daily_wanted_from, 'infinity') > %(daily_from)s
    )
    AND coalesce(b.retry_at <= %(now)s, true)
    AND NOT EXISTS (
        SELECT FROM public.feed_symbols f WHERE f.feed = %(feed)s AND f.symbol = s.symbol AND f.status = 'refused'
    )
ORDER BY s.position

-- name: unfinished_backfills
-- What `status` shows: the symbols that are configured and not complete.
SELECT feed, symbol, wanted_from, fetched_from, outcome, reason, daily_wanted_from, daily_from FROM public.backfills
WHERE outcome <> 'complete' ORDER BY feed, symbol

-- name: save_daily_bars
-- A bar that is fetched again replaces the stored one: the vendor may have adjusted it for a split.
INSERT INTO public.daily_bars (symbol, bucket, open, high, low, close, volume, feed, received_at)
SELECT %(symbol)s, b.*, %(feed)s, %(at)s
FROM unnest(
    %(buckets)s::timestamptz[], %(opens)s::float8[], %(highs)s::float8[], %(lows)s::float8[], %(closes)s::float8[],
    %(volumes)s::float8[]
) b
ON CONFLICT (symbol, bucket) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    feed = excluded.feed, received_at = excluded.received_at

-- name: analyze_daily_bars
-- Weeks and months of 20 years take 1.4 s while nothing is known of the table, and 0.1 s afterwards.
ANALYZE public.daily_bars

-- name: first_streamed
-- The first tick of a symbol from a moment on that a feed has streamed.
SELECT time FROM public.stocks_real_time
WHERE symbol = %(symbol)s AND time >= coalesce(%(since)s::timestamptz, '-infinity') AND origin = %(live)s
ORDER BY time LIMIT 1

-- name: ticks_kept_from
-- Null: retention has dropped nothing.
SELECT nullif(candleworks.ticks_kept_from('stocks_real_time'), '-infinity')

-- name: gaps_touching
-- The gaps of a symbol that touch [start, stop), filled or not, as whole minutes; an open one ends with the range.
SELECT date_trunc('minute', g.started_at, 'UTC'),
    date_trunc('minute', coalesce(g.ended_at, %(stop)s) + interval '1 minute' - interval '1 microsecond', 'UTC')
FROM candleworks.gaps_of(%(symbol)s, %(start)s, %(stop)s) g
ORDER BY 1

-- name: count_due_fills
-- How many requests the gaps cost that nobody has tried to fill: those of a symbol one, those of a feed one for each symbol.
SELECT count(*)
FROM public.feed_gaps g
JOIN public.feed_symbols s ON s.feed = g.feed AND s.status <> 'refused' AND (g.symbol IS NULL OR g.symbol = s.symbol)
WHERE g.filled_at IS NULL AND g.ended_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM public.gap_fills f WHERE f.gap_id = g.id AND f.symbol = s.symbol
)
