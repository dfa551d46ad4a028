-- name: create_quote_staging
-- One per connection; arrival is negative for quotes that this process stored before (known).
CREATE TEMP TABLE IF NOT EXISTS staged_quotes (
    arrival bigint NOT NULL,
    known boolean NOT NULL,
    event_time timestamptz NOT NULL,
    symbol text NOT NULL,
    bid double precision NOT NULL,
    ask double precision NOT NULL,
    bid_volume double precision,
    ask_volume double precision,
    received_at timestamptz NOT NULL,
    origin text NOT NULL
) ON COMMIT DELETE ROWS

-- name: insert_surplus_quotes
-- Compares staged and stored quotes of the same (symbol, event time) as multisets of (bid, ask, bid_volume, ask_volume) and
-- appends the surplus behind the stored ones; bars that stand among them are no quotes. A quote whose ordinal would reach
-- into the next event time is rejected. Returns what was inserted per symbol, and when it was received; a last row without
-- a symbol holds the arrivals of the rejected quotes.
-- The ranges, OFFSET 0 and the bounds are explained at insert_surplus.
WITH ranges AS (
    SELECT symbol, min(event_time) AS start, max(event_time) + %(resolution)s::interval AS stop
    FROM staged_quotes GROUP BY symbol, date_bin('10 minutes', event_time, timestamptz '2000-01-01 00:00:00+00')
), stored AS MATERIALIZED (
    SELECT r.symbol, date_bin(%(resolution)s::interval, q.time, timestamptz '2000-01-01 00:00:00+00') AS event_time,
        q.time, q.bid, q.ask, q.bid_volume, q.ask_volume
    FROM ranges r
    CROSS JOIN LATERAL (
        SELECT time, bid, ask, bid_volume, ask_volume FROM public.quotes q
        WHERE q.symbol = r.symbol AND q.time >= r.start AND q.time < r.stop
            AND q.time >= %(start)s AND q.time < %(stop)s AND q.origin <> 'bar'
        OFFSET 0
    ) q
), copies AS (
    SELECT symbol, event_time, bid, ask, bid_volume, ask_volume, count(*) AS stored FROM stored GROUP BY 1, 2, 3, 4, 5, 6
), ends AS (
    SELECT symbol, event_time, max(time) + interval '1 microsecond' AS free FROM stored GROUP BY 1, 2
), numbered AS (
    SELECT *, row_number() OVER (
        PARTITION BY event_time, symbol, bid, ask, bid_volume, ask_volume ORDER BY arrival
    ) AS nth
    FROM staged_quotes
), surplus AS (
    SELECT n.*, row_number() OVER (PARTITION BY n.symbol, n.event_time ORDER BY n.arrival) - 1 AS behind
    FROM numbered n
    LEFT JOIN copies c ON c.symbol = n.symbol AND c.event_time = n.event_time AND c.bid = n.bid AND c.ask = n.ask
        AND c.bid_volume IS NOT DISTINCT FROM n.bid_volume AND c.ask_volume IS NOT DISTINCT FROM n.ask_volume
    WHERE NOT n.known AND n.nth > coalesce(c.stored, 0)
), placed AS (
    SELECT s.*, coalesce(e.free, s.event_time) + s.behind * interval '1 microsecond' AS time
    FROM surplus s LEFT JOIN ends e ON e.symbol = s.symbol AND e.event_time = s.event_time
), inserted AS (
    INSERT INTO public.quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)
    SELECT time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin
    FROM placed WHERE time < event_time + %(resolution)s::interval
)
SELECT symbol, min(time), max(time), count(*), min(received_at), max(received_at), NULL::bigint[]
FROM placed WHERE time < event_time + %(resolution)s::interval GROUP BY symbol
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, array_agg(arrival ORDER BY arrival)
FROM placed WHERE time >= event_time + %(resolution)s::interval
HAVING count(*) > 0

-- name: last_quote_positions
-- Where each symbol stands: the newest quote, which no bar is, and how many share its event time.
SELECT s.symbol, date_bin(%(resolution)s::interval, q.time, timestamptz '2000-01-01 00:00:00+00') AS event_time, (
        SELECT count(*) FROM public.quotes e
        WHERE e.symbol = s.symbol AND e.time <= q.time AND e.origin <> 'bar'
            AND e.time >= date_bin(%(resolution)s::interval, q.time, timestamptz '2000-01-01 00:00:00+00')
    ), q.bid, q.ask
FROM unnest(%(symbols)s::text[]) s(symbol)
CROSS JOIN LATERAL (
    SELECT time, bid, ask FROM public.quotes q
    WHERE q.symbol = s.symbol AND q.origin <> 'bar' ORDER BY q.time DESC LIMIT 1
) q

-- name: quotes_within
-- Which of the symbols have a quote in their own range.
SELECT r.symbol
FROM unnest(%(symbols)s::text[], %(starts)s::timestamptz[], %(stops)s::timestamptz[]) r(symbol, start, stop)
WHERE EXISTS (
    SELECT FROM public.quotes q WHERE q.symbol = r.symbol AND q.time >= r.start AND q.time < r.stop
)

-- name: keep_quote_bars
-- Keeps bars of one side or both, of which what is known already stays; returns the beginnings of those that added a side.
INSERT INTO candleworks.quote_bars AS k (
    symbol, start, width, bid_open, bid_high, bid_low, bid_close, bid_volume, ask_open, ask_high, ask_low, ask_close,
    ask_volume, bid_received_at, ask_received_at
)
SELECT %(symbol)s, b.start, %(width)s, b.bid_open, b.bid_high, b.bid_low, b.bid_close, b.bid_volume, b.ask_open,
    b.ask_high, b.ask_low, b.ask_close, b.ask_volume,
    CASE WHEN b.bid_open IS NOT NULL THEN %(received_at)s::timestamptz END,
    CASE WHEN b.ask_open IS NOT NULL THEN %(received_at)s::timestamptz END
FROM unnest(
    %(starts)s::timestamptz[], %(bid_open)s::float8[], %(bid_high)s::float8[], %(bid_low)s::float8[],
    %(bid_close)s::float8[], %(bid_volume)s::float8[], %(ask_open)s::float8[], %(ask_high)s::float8[],
    %(ask_low)s::float8[], %(ask_close)s::float8[], %(ask_volume)s::float8[]
) b(
    start, bid_open, bid_high, bid_low, bid_close, bid_volume, ask_open, ask_high, ask_low, ask_close, ask_volume
)
ON CONFLICT (symbol, start, width) DO UPDATE SET
    bid_open = coalesce(k.bid_open, excluded.bid_open), bid_high = coalesce(k.bid_high, excluded.bid_high),
    bid_low = coalesce(k.bid_low, excluded.bid_low), bid_close = coalesce(k.bid_close, excluded.bid_close),
    bid_received_at = coalesce(k.bid_received_at, excluded.bid_received_at),
    ask_received_at = coalesce(k.ask_received_at, excluded.ask_received_at),
    bid_volume = CASE WHEN k.bid_open IS NULL THEN excluded.bid_volume ELSE k.bid_volume END,
    ask_open = coalesce(k.ask_open, excluded.ask_open), ask_high = coalesce(k.ask_high, excluded.ask_high),
    ask_low = coalesce(k.ask_low, excluded.ask_low), ask_close = coalesce(k.ask_close, excluded.ask_close),
    ask_volume = CASE WHEN k.ask_open IS NULL THEN excluded.ask_volume ELSE k.ask_volume END
WHERE k.bid_open IS NULL AND excluded.bid_open IS NOT NULL OR k.ask_open IS NULL AND excluded.ask_open IS NOT NULL
RETURNING start

-- name: taken_quote_intervals
-- Which intervals of ["start", "stop") hold quotes, or bars of quotes as short as these or shorter.
SELECT DISTINCT date_bin(%(width)s::interval, q.time, timestamptz '2000-01-01 00:00:00+00')
FROM public.quotes q
WHERE q.symbol = %(symbol)s AND q.time >= %(start)s AND q.time < %(stop)s AND (
    q.origin <> 'bar' OR NOT EXISTS (
        SELECT FROM candleworks.quote_bars b
        WHERE b.symbol = q.symbol AND b.stored AND b.start > q.time - interval '1 day' AND b.start <= q.time
            AND q.time < b.start + b.width AND b.width > %(width)s::interval
    )
)

-- name: complete_quote_bars
-- Those of the bars that have both sides and are not stored.
SELECT start, bid_open, bid_high, bid_low, bid_close, bid_volume, ask_open, ask_high, ask_low, ask_close, ask_volume
FROM candleworks.quote_bars
WHERE symbol = %(symbol)s AND width = %(width)s AND start = ANY(%(starts)s::timestamptz[]) AND NOT stored
    AND bid_open IS NOT NULL AND ask_open IS NOT NULL
ORDER BY start

-- name: remove_quote_bars
-- Removes the bars that hold one of these moments, and their quotes.
WITH gone AS (
    DELETE FROM candleworks.quote_bars b
    USING unnest(%(symbols)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[]) s(symbol, first, last)
    WHERE b.symbol = s.symbol AND b.stored AND b.start > s.first - interval '1 day' AND b.start <= s.last
        AND b.start + b.width > s.first AND (%(wider_than)s::interval IS NULL OR b.width > %(wider_than)s::interval)
        AND (%(wider_than)s::interval IS NOT NULL OR EXISTS (
            SELECT FROM public.quotes q
            WHERE q.symbol = b.symbol AND q.time >= b.start AND q.time < b.start + b.width AND q.origin <> 'bar'
        ))
    RETURNING b.symbol, b.start, b.start + b.width AS stop
)
SELECT symbol, start, stop FROM gone

-- name: delete_quotes_of_bar
DELETE FROM public.quotes WHERE symbol = %(symbol)s AND time >= %(start)s AND time < %(stop)s AND origin = 'bar'

-- name: insert_bar_quotes
INSERT INTO public.quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)
SELECT b.time, %(symbol)s, b.bid, b.ask, b.bid_volume, b.ask_volume, %(received_at)s, 'bar'
FROM unnest(
    %(times)s::timestamptz[], %(bids)s::float8[], %(asks)s::float8[], %(bid_volumes)s::float8[],
    %(ask_volumes)s::float8[]
) b(time, bid, ask, bid_volume, ask_volume)

-- name: mark_quote_bars
UPDATE candleworks.quote_bars SET stored = true
WHERE symbol = %(symbol)s AND width = %(width)s AND start = ANY(%(starts)s::timestamptz[])
