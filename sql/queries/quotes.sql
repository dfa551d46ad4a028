-- name: create_quote_staging
-- One per connection; arrival is negative for quotes that this process stored before (known).
CREATE TEMP TABLE IF NOT EXISTS staged_quotes (
    arrival bigint NOT NULL,
    known boolean NOT NULL,
    stamp timestamptz NOT NULL,
    symbol text NOT NULL,
    bid double precision NOT NULL,
    ask double precision NOT NULL,
    bid_volume double precision,
    ask_volume double precision,
    received_at timestamptz NOT NULL,
    origin text NOT NULL
) ON COMMIT DELETE ROWS

-- name: insert_surplus_quotes
-- Compares staged and stored quotes of the same (symbol, stamp) as multisets of (bid, ask, bid_volume, ask_volume) and
-- appends the surplus behind the stored ones. A quote whose ordinal would reach into the next stamp is refused. Returns
-- how many were inserted, and the arrivals of the refused ones.
WITH stored AS MATERIALIZED (
    SELECT g.symbol, g.stamp, q.time, q.bid, q.ask, q.bid_volume, q.ask_volume
    FROM (SELECT DISTINCT symbol, stamp FROM staged_quotes) g
    CROSS JOIN LATERAL (
        SELECT time, bid, ask, bid_volume, ask_volume FROM public.quotes q
        WHERE q.symbol = g.symbol AND q.time >= g.stamp AND q.time < g.stamp + %(resolution)s::interval
    ) q
), copies AS (
    SELECT symbol, stamp, bid, ask, bid_volume, ask_volume, count(*) AS stored FROM stored GROUP BY 1, 2, 3, 4, 5, 6
), ends AS (
    SELECT symbol, stamp, max(time) + interval '1 microsecond' AS free FROM stored GROUP BY 1, 2
), numbered AS (
    SELECT *, row_number() OVER (
        PARTITION BY symbol, stamp, bid, ask, bid_volume, ask_volume ORDER BY arrival
    ) AS nth
    FROM staged_quotes
), surplus AS (
    SELECT n.*, row_number() OVER (PARTITION BY n.symbol, n.stamp ORDER BY n.arrival) - 1 AS behind
    FROM numbered n
    LEFT JOIN copies c ON c.symbol = n.symbol AND c.stamp = n.stamp AND c.bid = n.bid AND c.ask = n.ask
        AND c.bid_volume IS NOT DISTINCT FROM n.bid_volume AND c.ask_volume IS NOT DISTINCT FROM n.ask_volume
    WHERE NOT n.known AND n.nth > coalesce(c.stored, 0)
), placed AS (
    SELECT s.*, coalesce(e.free, s.stamp) + s.behind * interval '1 microsecond' AS time
    FROM surplus s LEFT JOIN ends e ON e.symbol = s.symbol AND e.stamp = s.stamp
), inserted AS (
    INSERT INTO public.quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)
    SELECT time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin
    FROM placed WHERE time < stamp + %(resolution)s::interval
    RETURNING 1
)
SELECT (SELECT count(*) FROM inserted), array_agg(arrival ORDER BY arrival)
FROM placed WHERE time >= stamp + %(resolution)s::interval

-- name: quotes_within
-- Which of the symbols have a quote in their own range.
SELECT r.symbol
FROM unnest(%(symbols)s::text[], %(starts)s::timestamptz[], %(stops)s::timestamptz[]) r(symbol, start, stop)
WHERE EXISTS (
    SELECT FROM public.quotes q WHERE q.symbol = r.symbol AND q.time >= r.start AND q.time < r.stop
)
