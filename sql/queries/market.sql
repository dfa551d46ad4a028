-- What the chart page and the candle feeds read. Nothing here scans ticks: they are met one index entry at a time, and
-- a window of candles is always bounded on both sides.

-- name: market_symbols
-- Every symbol that has candles, who is behind it, and its newest tick; where ticks are gone, its newest minute.
SELECT s.symbol, c.name, c.exchange, c.type, coalesce(
    (SELECT t.time FROM public.stocks_real_time t
     WHERE t.symbol = s.symbol AND t.time >= s.day ORDER BY t.time DESC LIMIT 1),
    (SELECT max(m.bucket) FROM public.candles_1m m
     WHERE m.symbol = s.symbol AND m.bucket >= s.day AND m.bucket < s.day + interval '1 day')
) AS last_tick
FROM (SELECT symbol, max(bucket) AS day FROM public.candles_1d GROUP BY symbol) s
LEFT JOIN public.company c ON c.symbol = s.symbol
ORDER BY s.symbol

-- name: market_knows
SELECT EXISTS (SELECT FROM public.company WHERE symbol = %(symbol)s)
    OR EXISTS (SELECT FROM public.candles_1d WHERE symbol = %(symbol)s)

-- name: market_last_tick
-- Null for a symbol without candles.
SELECT coalesce(
    (SELECT time FROM public.stocks_real_time WHERE symbol = %(symbol)s ORDER BY time DESC LIMIT 1),
    (SELECT max(m.bucket) FROM public.candles_1m m
     JOIN (SELECT max(bucket) AS start FROM public.candles_1d WHERE symbol = %(symbol)s) day
        ON m.bucket >= day.start AND m.bucket < day.start + interval '1 day'
     WHERE m.symbol = %(symbol)s)
)

-- name: market_newest_tick
-- The newest tick of all symbols; null while there is none.
SELECT max(coalesce(
    (SELECT t.time FROM public.stocks_real_time t
     WHERE t.symbol = s.symbol AND t.time >= newest.day ORDER BY t.time DESC LIMIT 1),
    (SELECT max(m.bucket) FROM public.candles_1m m
     WHERE m.symbol = s.symbol AND m.bucket >= newest.day AND m.bucket < newest.day + interval '1 day')
))
FROM (SELECT max(bucket) AS day FROM public.candles_1d) newest
JOIN public.candles_1d s ON s.bucket = newest.day

-- name: candle_bounds
-- Where to look for candles that hold any moment of [start, stop), both on bucket boundaries: first_start is the oldest
-- candle's start, last_stop the newest one's end; null stands for no bound, and for nothing found. An ordered read of
-- candles_1m would pass the symbol's whole history (its view has no order), hence the newest tick, which an index finds
-- in 0.1 ms, and the newest day where ticks are gone.
WITH wanted AS (
    SELECT coalesce(%(stop)s::timestamptz, 'infinity') AS stop
), newest AS MATERIALIZED (
    SELECT coalesce(
        (SELECT time FROM public.stocks_real_time
         WHERE symbol = %(symbol)s AND time < wanted.stop ORDER BY time DESC LIMIT 1),
        (SELECT least(max(bucket) + interval '1 day', wanted.stop) - interval '1 microsecond' FROM public.candles_1d
         WHERE symbol = %(symbol)s AND bucket < wanted.stop HAVING count(*) > 0)
    ) AS moment
    FROM wanted
)
SELECT
    public.time_bucket(%(period)s::interval, coalesce(
        %(start)s::timestamptz, (SELECT min(bucket) FROM public.candles_1d WHERE symbol = %(symbol)s))) AS first_start,
    public.time_bucket(%(period)s::interval, newest.moment) + %(period)s::interval AS last_stop
FROM newest

-- name: candles_before
-- The start of the window of so many buckets that ends at stop, but not before first_start.
SELECT greatest(%(first_start)s, %(stop)s - %(buckets)s * %(period)s::interval)

-- name: candles_between
SELECT time, open, high, low, close, volume, ticks
FROM public.ohlc(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(price)s)
