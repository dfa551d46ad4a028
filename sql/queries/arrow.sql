-- What programs read in bulk, as Arrow tables. Parameters are numbered, because they are bound by ADBC; null stands for no
-- bound.

-- name: arrow_candles
-- $1 is the symbol, $2 the period, $3 and $4 the range, $5 the price side, $6 the zone.
SELECT bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from
FROM candleworks.candles_of($1, $2::interval, $3, $4, $5, $6)

-- name: arrow_adjusted_candles
SELECT bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from
FROM candleworks.adjusted_candles_of($1, $2::interval, $3, $4, $5, $6)

-- name: arrow_ticks
SELECT time, price, volume, day_volume, bid, ask, received_at, origin
FROM public.stocks_real_time
WHERE symbol = $1 AND time >= coalesce($2::timestamptz, '-infinity') AND time < coalesce($3::timestamptz, 'infinity')
ORDER BY time

-- name: arrow_quotes
SELECT time, bid, ask, bid_volume, ask_volume, received_at, origin
FROM public.quotes
WHERE symbol = $1 AND time >= coalesce($2::timestamptz, '-infinity') AND time < coalesce($3::timestamptz, 'infinity')
ORDER BY time

-- name: arrow_trades_with_quotes
-- Up to now where no end is given.
SELECT time, price, volume, quote_time, bid, ask, mid, spread, quote_age_seconds, side
FROM public.trades_with_quotes($1, $2, coalesce($3::timestamptz, now() + interval '1 minute'))
