-- What programs read in bulk, as Arrow tables. Values are put in as literals, because only statements without parameters are
-- read by COPY, which takes half the time; null stands for no bound.

-- name: arrow_candles
-- volume_from is sent as a flag, because a text for each row takes a third of a second for a million.
SELECT bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from = 'sizes' AS volume_from
FROM candleworks.candles_of({symbol}, {period}::interval, {start}, {stop}, {price}, {zone})

-- name: arrow_adjusted_candles
SELECT bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from = 'sizes' AS volume_from
FROM candleworks.adjusted_candles_of({symbol}, {period}::interval, {start}, {stop}, {price}, {zone})

-- name: arrow_ticks
SELECT time, price, volume, day_volume, bid, ask, received_at, origin
FROM public.stocks_real_time
WHERE symbol = {symbol} AND time >= coalesce({start}::timestamptz, '-infinity')
    AND time < coalesce({stop}::timestamptz, 'infinity')
ORDER BY time

-- name: arrow_quotes
SELECT time, bid, ask, bid_volume, ask_volume, received_at, origin
FROM public.quotes
WHERE symbol = {symbol} AND time >= coalesce({start}::timestamptz, '-infinity')
    AND time < coalesce({stop}::timestamptz, 'infinity')
ORDER BY time

-- name: arrow_trades_with_quotes
-- Up to now where no end is given.
SELECT time, price, volume, quote_time, bid, ask, mid, spread, quote_age_seconds, side
FROM public.trades_with_quotes({symbol}, {start}, coalesce({stop}::timestamptz, now() + interval '1 minute'))
