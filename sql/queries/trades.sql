-- name: create_staging
-- One per connection; arrival is negative for trades that this process stored before (known). volume is the size of a
-- trade, null where it follows from a running total.
CREATE TEMP TABLE IF NOT EXISTS staged_trades (
    arrival bigint NOT NULL,
    known boolean NOT NULL,
    event_time timestamptz NOT NULL,
    symbol text NOT NULL,
    price double precision NOT NULL,
    day_volume double precision,
    volume double precision,
    bid double precision,
    ask double precision,
    received_at timestamptz NOT NULL,
    origin text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL
) ON COMMIT DELETE ROWS

-- name: staged_extents
-- The first event time of each staged symbol, and the end of its last one.
SELECT symbol, min(event_time), max(event_time) + %(resolution)s::interval FROM {staged} GROUP BY symbol

-- name: insert_surplus
-- Compares staged and stored trades of the same (symbol, event time) as multisets of (price, day_volume), or (price, volume)
-- where there is no running total, and appends the surplus behind the stored ones; bars that stand among them are no
-- trades. A trade whose ordinal would reach into the next event time is rejected. A trade that is stored from another source
-- proves that both count the same running total that day. Returns what was inserted per symbol and trading day, and when it was
-- received; the days of new proofs, of which 0 were inserted; and a last row without a symbol with the arrivals of the rejected
-- trades.
-- Stored trades are read by ranges of ten minutes: TimescaleDB takes 75 µs to choose among 36 chunks, too long for every event
-- time. OFFSET 0 keeps the planner from joining ranges and trades by the symbol alone: 20,000 trades of one symbol took more
-- than a minute. The bounds of all ranges are redundant, but spare the planner the other partitions.
WITH ranges AS (
    SELECT symbol, min(event_time) AS start, max(event_time) + %(resolution)s::interval AS stop
    FROM staged_trades GROUP BY symbol, date_bin('10 minutes', event_time, timestamptz '2000-01-01 00:00:00+00')
), stored AS MATERIALIZED (
    SELECT r.symbol, date_bin(%(resolution)s::interval, t.time, timestamptz '2000-01-01 00:00:00+00') AS event_time,
        t.time, t.price, t.day_volume, t.size, candleworks.total_source(t.origin) AS source
    FROM ranges r
    CROSS JOIN LATERAL (
        SELECT time, price, day_volume, CASE WHEN day_volume IS NULL THEN volume END AS size, origin
        FROM public.stocks_real_time t
        WHERE t.symbol = r.symbol AND t.time >= r.start AND t.time < r.stop
            AND t.time >= %(start)s AND t.time < %(stop)s AND t.origin <> 'bar'
        OFFSET 0
    ) t
), copies AS (
    SELECT symbol, event_time, price, day_volume, size, count(*) AS stored, min(source) AS source, max(source) AS other
    FROM stored GROUP BY 1, 2, 3, 4, 5
), ends AS (
    SELECT symbol, event_time, max(time) + interval '1 microsecond' AS free FROM stored GROUP BY 1, 2
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY event_time, symbol, price, day_volume, volume ORDER BY arrival) AS nth
    FROM staged_trades
), surplus AS (
    SELECT n.*, row_number() OVER (PARTITION BY n.symbol, n.event_time ORDER BY n.arrival) - 1 AS behind
    FROM numbered n
    LEFT JOIN copies c ON c.symbol = n.symbol AND c.event_time = n.event_time AND c.price = n.price
        AND c.day_volume IS NOT DISTINCT FROM n.day_volume AND c.size IS NOT DISTINCT FROM n.volume
    WHERE NOT n.known AND n.nth > coalesce(c.stored, 0)
), placed AS (
    SELECT s.*, coalesce(e.free, s.event_time) + s.behind * interval '1 microsecond' AS time
    FROM surplus s LEFT JOIN ends e ON e.symbol = s.symbol AND e.event_time = s.event_time
), inserted AS (
    INSERT INTO public.stocks_real_time (time, symbol, price, day_volume, volume, bid, ask, received_at, origin)
    SELECT time, symbol, price, day_volume, volume, bid, ask, received_at, origin
    FROM placed WHERE time < event_time + %(resolution)s::interval
), shared AS (
    INSERT INTO candleworks.shared_totals (symbol, day_start, day_end)
    SELECT DISTINCT n.symbol, n.day_start, n.day_end
    FROM numbered n
    JOIN copies c ON c.symbol = n.symbol AND c.event_time = n.event_time AND c.price = n.price AND c.day_volume = n.day_volume
    WHERE NOT n.known AND n.day_volume > 0
        AND (c.source <> candleworks.total_source(n.origin) OR c.other <> candleworks.total_source(n.origin))
    ON CONFLICT DO NOTHING
    RETURNING symbol, day_start, day_end
)
SELECT symbol, day_start, day_end, min(time), max(time), max(day_volume), count(*), min(received_at), max(received_at),
    NULL::bigint[]
FROM placed WHERE time < event_time + %(resolution)s::interval
GROUP BY symbol, day_start, day_end
UNION ALL
SELECT symbol, day_start, day_end, day_start, day_end, 'Infinity', 0, NULL, NULL, NULL FROM shared
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, array_agg(arrival ORDER BY arrival)
FROM placed WHERE time >= event_time + %(resolution)s::interval
HAVING count(*) > 0

-- name: recompute_volumes
SELECT candleworks.recompute_volumes(
    %(origin)s, %(symbols)s, %(day_starts)s, %(day_ends)s, %(firsts)s, %(lasts)s, %(tops)s
)

-- name: oldest_trades
-- The first stored moment of each symbol; symbols without trades are left out.
SELECT s.symbol, t.time
FROM unnest(%(symbols)s::text[]) s(symbol)
CROSS JOIN LATERAL (
    SELECT time FROM public.stocks_real_time t WHERE t.symbol = s.symbol ORDER BY time LIMIT 1
) t

-- name: last_positions
-- Where each symbol stands: the newest trade, which no bar is, and how many share its event time.
SELECT s.symbol, date_bin(%(resolution)s::interval, t.time, timestamptz '2000-01-01 00:00:00+00') AS event_time,
    t.price, t.day_volume, (
        SELECT count(*) FROM public.stocks_real_time e
        WHERE e.symbol = s.symbol AND e.time <= t.time AND e.origin <> 'bar'
            AND e.time >= date_bin(%(resolution)s::interval, t.time, timestamptz '2000-01-01 00:00:00+00')
    )
FROM unnest(%(symbols)s::text[]) s(symbol)
CROSS JOIN LATERAL (
    SELECT time, price, day_volume FROM public.stocks_real_time t
    WHERE t.symbol = s.symbol AND t.origin <> 'bar' ORDER BY time DESC LIMIT 1
) t

-- name: prices_around
-- The nearest prices of trades, which bars are not, before and after an event time; those that share it may be of either side.
(
    SELECT price FROM public.stocks_real_time
    WHERE symbol = %(symbol)s AND origin <> 'bar' AND price > 0 AND time < %(event_time)s
    ORDER BY time DESC LIMIT 1
)
UNION ALL
(
    SELECT price FROM public.stocks_real_time
    WHERE symbol = %(symbol)s AND origin <> 'bar' AND price > 0 AND time >= %(event_time)s + %(resolution)s::interval
    ORDER BY time LIMIT 1
)

-- name: continued_total
-- What the next trade of an origin continues.
SELECT highest, own FROM candleworks.continued_total(
    %(symbol)s, %(day_start)s, %(day_end)s, %(day_end)s, candleworks.total_source(%(origin)s)
)

-- name: reject_ticks
INSERT INTO public.rejected_ticks (received_at, feed, reason, payload, kind, number)
SELECT r.received_at, %(feed)s, r.reason, r.payload, r.kind, r.number
FROM unnest(
    %(received_at)s::timestamptz[], %(reasons)s::text[], %(payloads)s::text[], %(kinds)s::text[], %(numbers)s::bigint[]
) r(received_at, reason, payload, kind, number)
