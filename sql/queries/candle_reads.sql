-- What the chart page and the candle feeds read. Nothing here scans ticks: they are met one index entry at a time, and
-- a window of candles is always bounded on both sides.

-- name: charted_symbols
-- Every symbol that has candles, who is behind it, its newest tick (where ticks are gone, its newest minute), and whether
-- it has trades and quotes. stopped_at and stop_reason are null unless every feed that should stream it was stopped.
SELECT s.symbol, c.name, c.exchange, c.type, s.traded, s.quoted, greatest(
    CASE WHEN s.traded THEN candleworks.newest_tick(s.symbol, 'trade') END,
    CASE WHEN s.quoted THEN candleworks.newest_tick(s.symbol, 'mid') END
) AS last_tick, f.stopped_at, f.reason
FROM (
    SELECT symbol, bool_or(traded) AS traded, NOT bool_and(traded) AS quoted
    FROM (
        SELECT DISTINCT symbol, true AS traded FROM public.tick_candles_1d
        UNION ALL
        SELECT DISTINCT symbol, false FROM public.quote_candles_1d
    ) kind
    GROUP BY symbol
) s
LEFT JOIN public.company c ON c.symbol = s.symbol
LEFT JOIN (
    SELECT n.symbol, max(p.stopped_at) AS stopped_at, string_agg(DISTINCT p.reason, '; ') AS reason
    FROM public.feed_symbols n LEFT JOIN public.feed_stops p ON p.feed = n.feed AND p.deliberate
    WHERE n.status IN ('asked', 'streaming') GROUP BY n.symbol HAVING count(*) = count(p.feed)
) f ON f.symbol = s.symbol
ORDER BY s.symbol

-- name: has_trades_and_quotes
-- Whether a symbol has trades, and whether it has quotes.
SELECT
    EXISTS (SELECT FROM public.tick_candles_1d WHERE symbol = %(symbol)s) AS traded,
    EXISTS (SELECT FROM public.quote_candles_1d WHERE symbol = %(symbol)s) AS quoted

-- name: has_company
SELECT EXISTS (SELECT FROM public.company WHERE symbol = %(symbol)s)

-- name: last_tick
-- Null for a symbol without candles of that price side.
SELECT candleworks.newest_tick(%(symbol)s, %(price)s)

-- name: newest_tick
-- The newest tick of all symbols; null while there is none.
SELECT greatest(
    (SELECT max(candleworks.newest_tick(s.symbol, 'trade')) FROM public.tick_candles_1d s
     WHERE s.bucket = (SELECT max(bucket) FROM public.tick_candles_1d)),
    (SELECT max(candleworks.newest_tick(s.symbol, 'mid')) FROM public.quote_candles_1d s
     WHERE s.bucket = (SELECT max(bucket) FROM public.quote_candles_1d))
)

-- name: candle_bounds
-- Where to look for candles that hold any moment of [start, stop), both on bucket boundaries: first_start is the oldest
-- candle's start, last_stop the newest one's end; null stands for nothing found. Periods of days begin with daily bars.
SELECT
    candleworks.bucket_start(CASE
        WHEN %(start)s::timestamptz IS NOT NULL THEN %(start)s
        WHEN %(price)s = 'trade' THEN least(
            (SELECT min(bucket) FROM public.tick_candles_1d WHERE symbol = %(symbol)s),
            (SELECT min(bucket) FROM public.daily_bars WHERE symbol = %(symbol)s AND daily.wanted)
        )
        ELSE (SELECT min(bucket) FROM public.quote_candles_1d WHERE symbol = %(symbol)s)
    END, %(period)s::interval, %(zone)s) AS first_start,
    candleworks.bucket_end(candleworks.bucket_start(greatest(newest.moment, (
        SELECT max(bucket) AT TIME ZONE 'UTC' AT TIME ZONE coalesce(%(zone)s, 'UTC') FROM public.daily_bars
        WHERE symbol = %(symbol)s AND daily.wanted AND bucket < coalesce(%(stop)s::timestamptz, 'infinity')
    )), %(period)s::interval, %(zone)s), %(period)s::interval, %(zone)s) AS last_stop
FROM candleworks.newest_tick(%(symbol)s, %(price)s, coalesce(%(stop)s::timestamptz, 'infinity')) newest(moment)
CROSS JOIN (SELECT %(price)s = 'trade' AND candleworks.level_for(%(period)s::interval) = '1d' AS wanted) daily

-- name: candles_before
-- The start of the window of so many buckets that ends at stop, but not before first_start.
SELECT greatest(%(first_start)s, candleworks.bucket_end(%(stop)s, %(buckets)s * %(period)s::interval * -1, %(zone)s))

-- name: candles_between
SELECT bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from
FROM candleworks.candles_of(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(price)s, %(zone)s)

-- name: volumes_before
SELECT bucket, volume_before
FROM public.volume_before(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(zone)s)

-- name: gaps_of_symbol
-- The newest gaps that touch [start, stop) and concern the symbol, newest first; more than `most` only where several
-- began at the moment of the oldest. A gap without a symbol concerns those of its feed, or all where these are unknown.
-- outcome is what filling came to for this symbol, null while it was not tried.
SELECT g.feed, g.symbol, g.started_at, g.ended_at, g.reason, g.filled_at, f.outcome
FROM candleworks.gaps_of(%(symbol)s, %(start)s, %(stop)s) g
LEFT JOIN public.gap_fills f ON f.gap_id = g.id AND f.symbol = %(symbol)s
ORDER BY g.started_at DESC
FETCH FIRST %(most)s ROWS WITH TIES
