-- What an export reads. {relation} and {time} are the relation and its column of time; null stands for no bound and for
-- every symbol.

-- name: export_snapshot
-- Every statement that follows sees the database as it was at the first one. Weeks of ticks are sorted in memory where
-- they fit into 64 MB.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL work_mem = '64MB';
SET LOCAL DateStyle = 'ISO';
SET LOCAL extra_float_digits = 1

-- name: export_columns
SELECT * FROM public.{relation} LIMIT 0

-- name: export_candle_columns
SELECT *, true AS closed FROM public.{relation} LIMIT 0

-- name: export_knows
SELECT EXISTS (SELECT FROM public.{relation} WHERE symbol = %(symbol)s)

-- name: export_extent
-- How many rows there are to export, and the first and the last time among them. It also locks the relation and all of
-- its partitions against being dropped before they are read.
SELECT count(*), min({time}), max({time})
FROM public.{relation}
WHERE {time} >= coalesce(%(start)s::timestamptz, '-infinity') AND {time} < coalesce(%(stop)s::timestamptz, 'infinity')
    AND (symbol = ANY(%(symbols)s::text[]) OR %(symbols)s::text[] IS NULL)

-- name: export_rows
COPY (
    SELECT * FROM public.{relation}
    WHERE {time} >= %(start)s AND {time} < %(stop)s
        AND (symbol = ANY(%(symbols)s::text[]) OR %(symbols)s::text[] IS NULL)
    ORDER BY {time}, symbol
) TO STDOUT (FORMAT csv)

-- name: export_candle_rows
-- Candles, and whether each is closed.
COPY (
    SELECT c.*, candleworks.is_closed(c.bucket, c.bucket + l.width, u.times) AS closed
    FROM public.{relation} c
    JOIN candleworks.candle_levels l ON l.name = %(level)s
    JOIN (
        SELECT s.symbol, candleworks.unsettled_times(s.symbol, %(start)s, %(stop)s) AS times
        FROM (SELECT DISTINCT symbol FROM public.{relation} WHERE bucket >= %(start)s AND bucket < %(stop)s) s
        WHERE s.symbol = ANY(%(symbols)s::text[]) OR %(symbols)s::text[] IS NULL
    ) u ON u.symbol = c.symbol
    WHERE c.bucket >= %(start)s AND c.bucket < %(stop)s
    ORDER BY c.bucket, c.symbol
) TO STDOUT (FORMAT csv)
