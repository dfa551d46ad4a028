-- What programs read in bulk, as Arrow tables. Values are put in as literals, because only statements without parameters are
-- read by COPY, which takes half the time; null stands for no bound.

-- name: arrow_snapshot
SELECT pg_export_snapshot()

-- name: arrow_countable
SELECT has_table_privilege({relation}, 'SELECT')

-- name: arrow_middle
-- The candle with which the second half of a range begins, where that has {enough} rows: candles of {period}, of which some come
-- from four hours, or ticks, where it is null.
SELECT candleworks.bucket_start(bucket, coalesce({period}::interval, interval '4 hours'), {zone})
FROM (
    SELECT bucket, sum(rows) OVER (ORDER BY bucket) AS so_far, sum(rows) OVER () AS total
    FROM {relation}
    CROSS JOIN LATERAL (
        SELECT least(ticks, ceil(14400 / extract(epoch FROM {period}::interval))) AS rows -- least() passes over null
    ) r
    WHERE symbol = {symbol} AND bucket >= coalesce({start}::timestamptz, '-infinity')
        AND bucket < coalesce({stop}::timestamptz, 'infinity')
) c
WHERE so_far >= total / 2 AND total >= {enough}::bigint
ORDER BY bucket LIMIT 1

-- name: arrow_candles_statement
SELECT candleworks.candles_statement({symbol}, {period}::interval, {start}, {stop}, {price}, {zone})

-- name: arrow_adjusted_statement
SELECT format(
    'SELECT * FROM candleworks.adjusted_candles_of(%L, %L, %L, %L, %L, %L)',
    {symbol}, {period}, {start}::timestamptz, {stop}::timestamptz, {price}, {zone}
)

-- name: arrow_candles
-- Three columns are sent as one: a text for each row takes a third of a second for a million, a flag a twentieth.
SELECT bucket, open, high, low, close, volume, ticks, (
    CASE WHEN rebuilt THEN 1 ELSE 0 END + CASE WHEN closed THEN 2 ELSE 0 END
    + CASE volume_from WHEN 'sizes' THEN 4 ELSE 0 END
)::smallint AS flags
FROM ({statement}) c(bucket, open, high, low, close, volume, ticks, rebuilt, closed, volume_from)

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
