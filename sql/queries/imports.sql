-- name: read_import
SELECT path, sha256, rows, stored, duplicates, rejected, first, last, status, imported_at, options
FROM public.import_files WHERE sha256 = %(sha256)s

-- name: save_import
INSERT INTO public.import_files (
    path, sha256, rows, stored, duplicates, rejected, first, last, status, imported_at, options
) VALUES (
    %(path)s, %(sha256)s, %(rows)s, %(stored)s, %(duplicates)s, %(rejected)s, %(first)s, %(last)s, %(status)s,
    %(imported_at)s, %(options)s
)
ON CONFLICT (sha256) DO UPDATE SET
    path = excluded.path, rows = excluded.rows, stored = excluded.stored, duplicates = excluded.duplicates,
    rejected = excluded.rejected, first = excluded.first, last = excluded.last, status = excluded.status,
    imported_at = excluded.imported_at, options = excluded.options

-- name: begin_import_run
-- Takes the moment for a run, unless another run has it.
INSERT INTO candleworks.import_runs (received_at, sha256) VALUES (%(received_at)s, %(sha256)s)
ON CONFLICT DO NOTHING RETURNING received_at

-- name: reach_import_run
-- The run has read ticks from first to last by now.
UPDATE candleworks.import_runs SET first = %(first)s, last = %(last)s WHERE received_at = %(received_at)s

-- name: read_import_progress
SELECT state FROM candleworks.import_progress WHERE sha256 = %(sha256)s

-- name: save_import_progress
INSERT INTO candleworks.import_progress (sha256, state) VALUES (%(sha256)s, %(state)s)
ON CONFLICT (sha256) DO UPDATE SET state = excluded.state

-- name: forget_import_progress
DELETE FROM candleworks.import_progress WHERE sha256 = %(sha256)s

-- name: stored_around
-- What the trades of each symbol from `start` on stand on: whether there are others in [start, stop), the running total that
-- they continue on their first trading day, and whether there is any of that day. The total is that of the last trade that
-- raised it, unless it is of another source.
SELECT r.symbol, EXISTS (
    SELECT FROM public.stocks_real_time t WHERE t.symbol = r.symbol AND t.time >= r.start AND t.time < r.stop
), CASE
    WHEN candleworks.total_source(last.origin) = candleworks.total_source(%(origin)s) THEN last.day_volume
    WHEN last.origin IS NOT NULL THEN (
        SELECT c.highest FROM candleworks.continued_total(
            r.symbol, r.day_start, r.start, r.start, candleworks.total_source(%(origin)s)
        ) c
    )
END, last.origin IS NOT NULL
FROM unnest(
    %(symbols)s::text[], %(day_starts)s::timestamptz[], %(starts)s::timestamptz[], %(stops)s::timestamptz[]
) r(symbol, day_start, start, stop)
LEFT JOIN LATERAL (
    SELECT t.day_volume, t.origin FROM public.stocks_real_time t
    WHERE t.symbol = r.symbol AND t.time >= r.day_start AND t.time < r.start
        AND t.day_volume IS NOT NULL AND (t.volume > 0 OR t.volume IS NULL)
    ORDER BY t.time DESC LIMIT 1
) last ON true

-- name: reject_ticks_once
-- Leaves out what this feed's quarantine has already.
INSERT INTO public.rejected_ticks (received_at, feed, reason, payload, kind, number)
SELECT r.received_at, %(feed)s, r.reason, r.payload, r.kind, r.number
FROM unnest(
    %(received_at)s::timestamptz[], %(reasons)s::text[], %(payloads)s::text[], %(kinds)s::text[], %(numbers)s::bigint[]
) r(received_at, reason, payload, kind, number)
WHERE NOT EXISTS (
    SELECT FROM public.rejected_ticks q WHERE q.feed = %(feed)s AND q.reason = r.reason AND q.payload = r.payload
)

-- name: merge_companies
INSERT INTO public.company AS c (symbol, name, exchange, currency, type)
SELECT u.symbol, coalesce(u.name, k.name, u.symbol), u.exchange, u.currency, u.type
FROM unnest(
    %(symbols)s::text[], %(names)s::text[], %(exchanges)s::text[], %(currencies)s::text[], %(types)s::text[]
) u(symbol, name, exchange, currency, type)
LEFT JOIN public.company k ON k.symbol = u.symbol
ON CONFLICT (symbol) DO UPDATE SET
    name = excluded.name,
    exchange = coalesce(excluded.exchange, c.exchange),
    currency = coalesce(excluded.currency, c.currency),
    type = coalesce(excluded.type, c.type)
WHERE (c.name, c.exchange, c.currency, c.type) IS DISTINCT FROM (
    excluded.name, coalesce(excluded.exchange, c.exchange), coalesce(excluded.currency, c.currency),
    coalesce(excluded.type, c.type)
)
